# memtrace. `make` builds build/memtrace; `make help` lists the rest.
SHELL := /bin/bash
.DELETE_ON_ERROR:
.DEFAULT_GOAL := all

include scripts/build.mk
include scripts/test.mk
include scripts/go.mk
include scripts/fuzz.mk
include scripts/bench.mk
include scripts/check.mk
