# The small Image Builder of the tests: the targets, variables and messages of the real one's
# Makefile. Packages are real .ipk files, the root file system is a real squashfs.
TOPDIR := $(CURDIR)
export TOPDIR
ifneq ($(words $(CURDIR)),1)
  $(error the path has a space in it)
endif
# Who has this in the environment gets another build: so does the real one.
ifneq ($(IB),)
  $(error IB is set)
endif

REVISION := $(shell ./scripts/getver.sh)
SOURCE_DATE_EPOCH := $(shell cat version.date)
export SOURCE_DATE_EPOCH REVISION
export TARGET_DIR := $(TOPDIR)/build_dir/root
export DL_DIR := $(TOPDIR)/dl
BIN_DIR ?= $(TOPDIR)/bin/targets/@TARGET@
PROFILE_NAMES := @PROFILES@
DEFAULT_PACKAGES := base-files busybox dropbear

help:
	@echo 'Available Commands: help info image manifest'

info:
	@echo 'Current Target: "@TARGET@"'
	@echo 'Current Architecture: "x86_64"'
	@echo 'Current Revision: "$(REVISION)"'
	@echo 'Default Packages: $(DEFAULT_PACKAGES)'
	@echo 'Available Profiles:'
	@$(foreach p,$(PROFILE_NAMES),echo; echo '$(p):'; echo '    Device $(p)'; \
		echo '    Packages: kmod-usb3'; echo '    hasImageMetadata: 1';)

USER_PROFILE ?= $(firstword $(PROFILE_NAMES))
PROFILE_FILTER = $(filter $(PROFILE),$(PROFILE_NAMES))
# "-name" takes a package out, of the defaults and then of what was asked for.
BUILD_PACKAGES := $(sort $(DEFAULT_PACKAGES) kmod-usb3 kernel)
BUILD_PACKAGES := $(USER_PACKAGES) $(BUILD_PACKAGES)
BUILD_PACKAGES := $(filter-out $(filter -%,$(BUILD_PACKAGES)) $(patsubst -%,%,$(filter -%,$(BUILD_PACKAGES))),$(BUILD_PACKAGES))

_check_profile:
ifneq ($(PROFILE),)
  ifeq ($(PROFILE_FILTER),)
	@echo 'Profile "$(PROFILE)" does not exist!'
	@echo 'Use "make info" to get a list of available profile names.'
	@exit 1
  endif
endif

_check_keys:
	@if [ ! -s key-build ]; then echo Generate local signing keys... >&2; head -c 32 /dev/urandom > key-build; fi

_call_image:
	echo 'Building images for @TARGET@ - $(USER_PROFILE)'
	echo 'Packages: $(BUILD_PACKAGES)'
	echo
	rm -rf $(TARGET_DIR)
	mkdir -p $(TARGET_DIR) $(BIN_DIR) $(DL_DIR)
	./scripts/update.sh lists || true
	./scripts/package.sh install $(BUILD_PACKAGES)
	./scripts/image.sh "$(USER_PROFILE)" "$(BIN_DIR)" "$(USER_FILES)" "$(PARTSIZE)" $(DISABLED_SERVICES)

_call_manifest:
	rm -rf $(TARGET_DIR)
	mkdir -p $(TARGET_DIR) $(DL_DIR)
	./scripts/update.sh lists >/dev/null || true
	./scripts/package.sh install $(BUILD_PACKAGES) >/dev/null
	./scripts/package.sh list $(STRIP_ABI)

image:
	$(MAKE) -s _check_profile
	$(MAKE) -s _check_keys
	(unset PROFILE FILES PACKAGES MAKEFLAGS; \
	$(MAKE) -s _call_image \
		$(if $(PROFILE),USER_PROFILE="$(PROFILE_FILTER)") \
		$(if $(FILES),USER_FILES="$(FILES)") \
		$(if $(PACKAGES),USER_PACKAGES="$(PACKAGES)") \
		$(if $(BIN_DIR),BIN_DIR="$(BIN_DIR)") \
		$(if $(DISABLED_SERVICES),DISABLED_SERVICES="$(DISABLED_SERVICES)") \
		$(if $(ROOTFS_PARTSIZE),PARTSIZE="$(ROOTFS_PARTSIZE)"))

manifest:
	$(MAKE) -s _check_profile
	$(MAKE) -s _check_keys
	(unset PROFILE FILES PACKAGES MAKEFLAGS; \
	$(MAKE) -s _call_manifest $(if $(STRIP_ABI),STRIP_ABI=1) \
		$(if $(PROFILE),USER_PROFILE="$(PROFILE_FILTER)") \
		$(if $(PACKAGES),USER_PACKAGES="$(PACKAGES)"))

.PHONY: help info image manifest _check_profile _check_keys _call_image _call_manifest
.SILENT: help info image manifest
