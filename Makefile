# make build   release binaries of memkvd and memkv in .build/release
# make run     builds, then serves a store in ./memkv-data (or DATA=DIR); stop it with Ctrl-C
# make test    lint, unit tests, end-to-end tests; ends with "N passed, N failed"
# make fuzz    the fuzz targets, 10 minutes each; FUZZ="--runs 10000000 frame" for other choices
# make sim-hunt   every planted mistake hunted in the simulated world, and false alarms looked for
# make lint    the format, checked        make format   the format, applied
# make test-guest   only the tests in an emulated machine, on NVMe drives and Soft-RoCE
# make test-softroce   only those on Soft-RoCE

DATA ?= ./memkv-data

BUILD_PACKAGES := liburing-dev libibverbs-dev librdmacm-dev libblkid-dev libxxhash-dev libssl-dev libsqlite3-dev \
	libcurl4-openssl-dev
TEST_PACKAGES := $(BUILD_PACKAGES) gcc e2fsprogs fdisk fio nbdkit libnbd-bin fuse3 python3 prometheus openssl

.PHONY: build run test test-guest test-softroce fuzz sim-hunt lint format

build:
	@Scripts/ensure-packages $(BUILD_PACKAGES)
	swift build -c release --product memkvd
	swift build -c release --product memkv

run: build
	.build/release/memkvd --data "$(DATA)"

test:
	@Scripts/ensure-packages $(TEST_PACKAGES)
	@Scripts/test

test-guest:
	@Scripts/ensure-packages $(TEST_PACKAGES)
	@Scripts/test Tests/Guest/test.py

test-softroce:
	@Scripts/ensure-packages $(TEST_PACKAGES)
	@Scripts/test "Tests/Guest/test.py softroce"

fuzz:
	@Scripts/ensure-packages $(BUILD_PACKAGES)
	@Scripts/fuzz $(FUZZ)

sim-hunt:
	@Scripts/ensure-packages $(BUILD_PACKAGES)
	@Scripts/sim-hunt $(HUNT)

lint:
	@Scripts/lint

format:
	swift format --in-place --recursive --parallel Package.swift Sources Tests Fuzzing/Package.swift Fuzzing/Targets \
		Fuzzing/Modules/Ring/SimulatedRing.swift
