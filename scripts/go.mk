# make go-targets: the Go programs that tests trace, each directory of tests/targets/go
# that has a main package, by every toolchain that scripts/gos unpacked, in every way
# of building that a test wants: build/tests/targets/go/VERSION/PROGRAM-VARIANT. Nothing
# asks a network. Position-independent ones, for which the standard library is compiled
# once more, are made by the oldest, a middle and the newest version; with GO_ALL=1 by all,
# as scripts/gos then has all.
GOS_DIR     := $(BUILD)/gos
GO_VERSIONS := $(notdir $(wildcard $(GOS_DIR)/[0-9]*))
GO_SRC      := tests/targets/go
GO_PROGRAMS := $(notdir $(patsubst %/,%,$(dir $(shell grep -lsx 'package main' $(GO_SRC)/*/*.go))))
GO_DIR      := $(TARGET_DIR)/go
GO_COMMON   := $(GO_SRC)/go.mod $(wildcard $(GO_SRC)/withcgo/*.go)

GO_HOW_normal           := CGO_ENABLED=0 go build
GO_HOW_stripped         := CGO_ENABLED=0 go build -ldflags '-s -w'
GO_HOW_pie              := CGO_ENABLED=0 go build -buildmode=pie
GO_HOW_pie-stripped     := CGO_ENABLED=0 go build -buildmode=pie -ldflags '-s -w'
GO_HOW_cgo              := CGO_ENABLED=1 go build
GO_HOW_cgo-stripped     := CGO_ENABLED=1 go build -ldflags '-s -w'
GO_HOW_cgo-pie          := CGO_ENABLED=1 go build -buildmode=pie
GO_HOW_cgo-pie-stripped := CGO_ENABLED=1 go build -buildmode=pie -ldflags '-s -w'
GO_FIXED := normal stripped cgo cgo-stripped
GO_PIE   := pie pie-stripped cgo-pie cgo-pie-stripped
# Programs of which not all are wanted.
GO_ONLY_demo   := normal
GO_ONLY_steady := cgo
GO_ONLY_steps  := normal cgo
GO_ONLY_turns  := normal stripped cgo
GO_SORTED      := $(shell printf '%s\n' $(GO_VERSIONS) | sort -V)
GO_PIE_BY      := $(if $(GO_ALL),$(GO_VERSIONS),$(firstword $(GO_SORTED)) $(filter 1.23.%,$(GO_SORTED)) $(lastword $(GO_SORTED)))
# $(1): version, $(2): program
GO_VARIANTS = $(or $(GO_ONLY_$(2)),$(GO_FIXED) $(if $(filter $(1),$(GO_PIE_BY)),$(GO_PIE)))

# HOME: newer toolchains keep counters of their own use below it.
GO_ENV = GOROOT=$$$$(readlink -f $(abspath $(GOS_DIR))/$(1)) PATH=$$$$(readlink -f $(abspath $(GOS_DIR))/$(1))/bin:$$$$PATH \
         HOME=$(abspath $(BUILD))/gohome GOCACHE=$(abspath $(BUILD))/gocache GOENV=off GOWORK=off \
         GOFLAGS='-mod=mod -buildvcs=false' GOTOOLCHAIN=local GOPROXY=off

define GO_RULE
GO_BIN += $(GO_DIR)/$(1)/$(2)-$(3)
$(GO_DIR)/$(1)/$(2)-$(3): $(GO_COMMON) $(wildcard $(GO_SRC)/$(2)/*.go)
	@mkdir -p $$(@D)
	cd $(GO_SRC) && env $(call GO_ENV,$(1)) $(GO_HOW_$(3)) -o $(abspath $(GO_DIR))/$(1)/$(2)-$(3) ./$(2)
endef
GO_BIN :=
$(foreach v,$(GO_VERSIONS),$(foreach p,$(sort $(GO_PROGRAMS)),$(foreach w,$(call GO_VARIANTS,$(v),$(p)),\
    $(eval $(call GO_RULE,$(v),$(p),$(w))))))

.PHONY: go-targets
go-targets: $(GO_BIN) ## build the Go programs that tests trace, by each toolchain of scripts/gos
