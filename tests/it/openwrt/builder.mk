# The small Image Builder of the tests: answers as the real one's Makefile does.
SHELL := /bin/sh
ifneq ($(words $(CURDIR)),1)
  $(error the path has a space in it)
endif

help:
	@echo 'Available Commands: help info'

info:
	@echo 'Current Target: "@TARGET@"'
	@echo 'Current Architecture: "x86_64"'
	@echo 'Current Revision: "$(shell ./scripts/getver.sh)"'
	@echo 'Default Packages: base-files busybox dropbear'
	@echo 'Available Profiles:'
	@echo
	@echo 'generic:'
	@echo '    Generic x86/64'
	@echo '    Packages: kmod-e1000'
	@echo '    hasImageMetadata: 0'

.PHONY: help info
