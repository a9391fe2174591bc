// SPDX-License-Identifier: Apache-2.0
import FastpathCommands
import Glibc

exit(runVosFastpath(Array(CommandLine.arguments.dropFirst())))
