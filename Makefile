# SPDX-License-Identifier: Apache-2.0
#
# make         build/vmlinux.h, build/sip_logic.bpf.o, build/vos-fastpath, build/libvosfastpath.so
# make demo    the main job on a simulated network, as root; nothing is left behind
# make test    everything, as root
# make help    all targets

SHELL := /bin/bash
.DELETE_ON_ERROR:
.DEFAULT_GOAL := all

SWIFT ?= swift
CLANG ?= clang
BPFTOOL ?= $(firstword $(wildcard /usr/sbin/bpftool /usr/local/sbin/bpftool) bpftool)
PREFIX ?= /usr/local
DESTDIR ?=
BTF := /sys/kernel/btf/vmlinux

# A vmlinux.h from elsewhere, for a kernel without BTF.
VMLINUX ?=

BPF_CFLAGS := -target bpf -O2 -mcpu=v3 -g -Wall -Wextra -Werror -std=gnu17 \
	-Ibuild -Ibpf -ISources/CFastpathABI/include -I/usr/include/$(shell uname -m)-linux-gnu
BPF_OBJECTS := build/sip_logic.bpf.o $(patsubst bpf/lab/%.bpf.c,build/lab/%.bpf.o,$(wildcard bpf/lab/*.bpf.c))

# One linking mode, so that nothing is built twice. The libraries of Swift and C++ are linked in, so that the command runs
# where no Swift is; this and the rest take a fifth off its start-up time: docs/decisions/0013-start-up.md.
RELEASE := -c release --static-swift-stdlib --disable-local-rpath \
	-Xlinker --no-export-dynamic -Xlinker -L$(CURDIR)/build/static
SWIFT_SOURCES := Package.swift $(shell find Sources -type f 2>/dev/null)

.PHONY: all demo test fuzz fuzz-parsers kernels bench proof install uninstall fmt check clean help setup

all: build/vos-fastpath build/libvosfastpath.so ## Build the program, the command and the library for SIP servers

# $(call need,COMMAND,WHAT TO INSTALL): a sentence in place of "command not found".
need = @command -v "$(1)" > /dev/null || { echo "make: $(1) is missing. Install $(2); 'make setup' installs what Debian has." >&2; exit 1; }

build/vmlinux.h: $(VMLINUX)
	@mkdir -p build
ifneq ($(VMLINUX),)
	cp $(VMLINUX) $@
else
	@test -r $(BTF) || { echo "make: this kernel has no BTF ($(BTF)). Boot one with CONFIG_DEBUG_INFO_BTF=y, or run make VMLINUX=FILE with a vmlinux.h for it." >&2; exit 1; }
	$(call need,$(BPFTOOL),Debian's bpftool)
	$(BPFTOOL) btf dump file $(BTF) format c > $@
endif

build/%.bpf.o: bpf/%.bpf.c build/vmlinux.h Makefile
	$(call need,$(CLANG),clang of the Swift toolchain or Debian's clang)
	@mkdir -p $(@D)
	$(CLANG) $(BPF_CFLAGS) -MMD -MP -c $< -o $@

# The program as a kernel before 5.18 sees it, for the tests.
build/tests/one_buffer.bpf.o: bpf/sip_logic.bpf.c build/vmlinux.h Makefile $(wildcard bpf/*.h)
	@mkdir -p $(@D)
	$(CLANG) $(BPF_CFLAGS) -DHAS_SEVERAL_BUFFERS=0 -c $< -o $@

-include $(BPF_OBJECTS:.o=.d)

# A folder that holds nothing else: -lstdc++ finds the archive first, and the shared library where there is no archive.
build/static/libstdc++.a:
	@mkdir -p $(@D)
	@ln -sf "$$($(CLANG) -print-file-name=$(@F))" $@

build/vos-fastpath: $(BPF_OBJECTS) $(SWIFT_SOURCES) | build/static/libstdc++.a
	$(call need,$(SWIFT),a Swift toolchain of 6.2 or newer from swift.org)
	$(SWIFT) build $(RELEASE) --product vos-fastpath
	cp .build/release/vos-fastpath $@.new && strip $@.new && mv $@.new $@

# Goes into other programs: without Swift's runtime, so in a build of its own. No name of the compiler's is needed in it.
PRELOAD_SOURCES := Package.swift $(shell find -L Sources/FastpathPreload Sources/CPreload Sources/CFastpathABI -type f) \
	Sources/CLinux/xdp_socket.h

build/libvosfastpath.so: $(PRELOAD_SOURCES)
	$(call need,$(SWIFT),a Swift toolchain of 6.2 or newer from swift.org)
	@mkdir -p $(@D)
	$(SWIFT) build -c release --product vosfastpath
	strip -R .comment -R .swift_modhash -o $@.new .build/release/libvosfastpath.so && mv $@.new $@

demo: setup ## The edge at work on a simulated network, then the table with and without it (root, about a minute)
	@$(MAKE) --no-print-directory all
	build/vos-fastpath demo

test: setup ## Every test: without root, on the packet path, end to end in namespaces (root)
	@$(MAKE) --no-print-directory all build/tests/one_buffer.bpf.o
	Tests/run

# Frames of the generated tests; the second of them takes four times as many.
FUZZ_FRAMES ?= 2500000

fuzz: setup ## At least ten million generated frames: the loaded program against the reference filter (root, some minutes)
	@$(MAKE) --no-print-directory all
	FASTPATH_TEST_FRAMES=$(FUZZ_FRAMES) $(SWIFT) test --filter GeneratedTests

# Seconds a target.
FUZZ_SECONDS ?= 60

fuzz-parsers: setup ## The packet program and every reader of text under libFuzzer with sanitizers (a minute a target)
	@fuzz/run $(FUZZ_SECONDS)

# Kernels that `make kernels` boots: releases of Debian's cloud kernels. 6.1 and 6.12 must be there.
KERNELS ?= 5.10 6.1 6.12 6.16 6.18 newest

build/tests/kernel-guest: build/vos-fastpath $(wildcard Tests/kernels/guest/*.swift Tests/Support/*.swift)
	$(SWIFT) build $(RELEASE) --product kernel-guest
	@mkdir -p $(@D)
	strip -o $@ .build/release/kernel-guest

kernels: setup ## The program under other kernels, in qemu: loads, attaches, same verdicts (root, two minutes a kernel)
	@$(MAKE) --no-print-directory all build/tests/kernel-guest
	@Tests/kernels/run $(KERNELS)

bench: setup ## Measure; prints a table and writes build/bench.json (root)
	@$(MAKE) --no-print-directory all
	build/vos-fastpath bench --output build/bench.json

proof: build/vos-fastpath ## docs/PROOF.md and its pictures, from build/bench.json
	@test -r build/bench.json || { echo "make: there are no figures yet. Run make bench." >&2; exit 1; }
	build/vos-fastpath generate-proof build/bench.json docs

setup: ## Install the Debian packages that are missing (root); starts no service
	@scripts/setup.sh

include packaging/install.mk

fmt: ## Format Swift and C
	$(SWIFT) format --in-place --recursive --parallel Sources Tests fuzz Package.swift
	clang-format-14 -i bpf/*.[ch] bpf/lab/*.[ch] Sources/CFastpath*/*.c Sources/CFastpath*/include/*.h Sources/CPreload/*.c Sources/CPreload/include/*.h Tests/preload/*/*.[ch] \
		fuzz/*.c fuzz/shim/*.h fuzz/shim/bpf/*.h

check: build/vos-fastpath ## Formatting, shell scripts, generated tables; changes nothing
	@scripts/check.sh

clean: ## Remove what was built
	rm -rf build .build

help: ## This list
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' Makefile packaging/install.mk | expand -t 20
