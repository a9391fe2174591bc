# SPDX-License-Identifier: Apache-2.0
# Included by the Makefile: install and uninstall. Both take PREFIX and DESTDIR.

# Where the configuration is put. The command reads /etc/vos-fastpath/config.toml, wherever it is itself.
SYSCONFDIR ?= $(if $(filter /usr /usr/local,$(PREFIX)),/etc,$(PREFIX)/etc)

.PHONY: install uninstall

install: all ## Install below PREFIX (/usr/local): command, object, scripts, systemd unit, man pages, completions
	@packaging/install.sh '$(DESTDIR)$(PREFIX)' '$(DESTDIR)$(SYSCONFDIR)' '$(PREFIX)'

uninstall: ## Remove exactly what install put there
	@packaging/install.sh --remove '$(DESTDIR)$(PREFIX)' '$(DESTDIR)$(SYSCONFDIR)'
