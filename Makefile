# SPDX-License-Identifier: Apache-2.0
# The front door: every target hands over to a CMake preset or to a script, and holds no logic. `make help` lists them.
PREFIX ?= /usr/local
DESTDIR ?=
export DESTDIR

.DEFAULT_GOAL := build
.NOTPARALLEL:
.PHONY: build demo test check format-check lint headers-check house-check test-asan test-tsan bench hw-test vm-test \
        vm-shell vm-kernel install up down format clean help programs dependencies check-dependencies vm-dependencies

build: dependencies  ## Build everything; programs land in build/release/bin (this is what plain `make` does)
	cmake --preset release --log-level=NOTICE
	cmake --build --preset release

demo: programs  ## Watch a running workload pause, the simulated card reset, the reset proven, the workload resume
	tools/demo/demo build/release/bin

test: build  ## Build and run all tests
	ctest --preset release

check: test format-check headers-check house-check lint test-asan test-tsan vm-test  ## All that CI runs: tests, style, lint, sanitizers, real kernels

format-check: check-dependencies  ## Is every source laid out as clang-format does it?
	tools/setup/check-format

headers-check: dependencies  ## Does every header compile alone?
	tools/setup/check-headers

house-check: dependencies  ## Licence lines, stray prints, oversized files, broken or unlinked documentation
	tools/setup/check-house

lint: check-dependencies  ## clang-tidy over our sources
	cmake --preset release --log-level=NOTICE
	cmake --build --preset release --target skeletons
	tools/setup/check-lint build/release

test-asan: dependencies  ## All tests with the address and undefined-behaviour sanitizers
	cmake --preset asan --log-level=NOTICE
	cmake --build --preset asan
	ctest --preset asan

test-tsan: dependencies  ## All tests with the thread sanitizer
	cmake --preset tsan --log-level=NOTICE
	cmake --build --preset tsan
	tools/setup/without-aslr ctest --preset tsan

bench: build vm-dependencies  ## Measure beside baselines; prints a table and writes build/bench.json
	tests/bench/bench build/release/bin build/bench.json

hw-test: build  ## The driver's suites and a coordinated reset on a real card: make hw-test DEVICE=0000:01:00.0
	tests/hw/hw-test build/release/bin $(DEVICE)

vm-test: build vm-dependencies  ## Boot an old and a new kernel in a virtual machine, and run the driver's tests there against vfio-pci
	tests/vm/vm-test build/release/bin

vm-shell: programs vm-dependencies  ## A prompt in a virtual machine with an IOMMU and simulated cards on vfio-pci
	cmake --build --preset release --target warden-vm warden-vm-ask
	build/release/bin/warden-vm $(if $(KERNEL),--kernel $(KERNEL))

vm-kernel:  ## Build a kernel with iommufd and the VFIO cdev for vm-test (10 minutes, once)
	@tools/setup/install-dependencies packages-vm.txt packages-vm-kernel.txt
	tests/vm/fetch kernel-cdev

install: build  ## Install to PREFIX (default /usr/local) below DESTDIR (default none)
	cmake --install build/release --prefix "$(PREFIX)"

up: programs  ## Start a simulated card and a daemon to play with
	tools/demo/up build/release/bin

down:  ## Stop what `make up` started
	tools/demo/down build/release/bin

format: check-dependencies  ## Lay out every source as clang-format does it
	tools/setup/check-format --fix

clean:  ## Remove everything that was built
	rm -rf build

help:  ## This list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' Makefile | expand -t 16

programs: dependencies
	cmake --preset release --log-level=NOTICE
	cmake --build --preset programs

dependencies:
	@tools/setup/install-dependencies packages.txt

vm-dependencies:
	@tools/setup/install-dependencies packages-vm.txt

check-dependencies:
	@tools/setup/install-dependencies packages.txt packages-check.txt
