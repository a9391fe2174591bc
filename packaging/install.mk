# SPDX-License-Identifier: Apache-2.0
# Included by the Makefile: install and uninstall. Both take PREFIX and DESTDIR.

.PHONY: install uninstall

install: all ## Install below PREFIX (/usr/local): command, object, scripts, man pages, completions
	@packaging/install.sh '$(DESTDIR)$(PREFIX)'

uninstall: ## Remove exactly what install put there
	@packaging/install.sh --remove '$(DESTDIR)$(PREFIX)'
