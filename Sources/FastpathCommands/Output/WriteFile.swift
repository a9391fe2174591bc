// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import FastpathKernel
import Glibc

/// Writes a file anew. `what`: what is in it, for the failure.
func writeFile(_ text: String, to path: String, _ what: String) throws(Failure) {
    guard let file = fopen(path, "we") else { throw unwritable(path, what) }
    let isWritten = fputs(text, file) >= 0
    guard fclose(file) == 0, isWritten else { throw unwritable(path, what) }
}

private func unwritable(_ path: String, _ what: String) -> Failure {
    let code = errno
    return Failure(
        .system(errno: code), tried: "write \(what)", on: path, because: errorText(code), next: "Choose another file.")
}
