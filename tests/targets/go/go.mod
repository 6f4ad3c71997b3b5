module memtrace/targets

go 1.19
