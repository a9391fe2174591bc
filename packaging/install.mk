# SPDX-License-Identifier: Apache-2.0
# Included by the Makefile: install and uninstall.
