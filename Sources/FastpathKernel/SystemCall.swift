// SPDX-License-Identifier: Apache-2.0
import CLinux
import FastpathCore
import Glibc

/// The text of an errno, positive: "Operation not permitted (EPERM)" without the name where there is none.
public func errorText(_ code: Int32) -> String {
    guard let name = strerrorname_np(code) else { return String(cString: strerror(code)) }
    return "\(String(cString: strerror(code))) (\(String(cString: name)))"
}

/// The one funnel for results of system calls and libbpf, also for the rooms above: negative is an error, either
/// `-errno` itself (libbpf) or `-1` with `errno` set (libc; `-1` is taken for that).
@discardableResult
package func check<Result: SignedInteger>(
    _ result: Result, _ tried: @autoclosure () -> String, on subject: @autoclosure () -> String,
    next: @autoclosure () -> String = defaultNext
) throws(Failure) -> Result {
    guard result < 0 else { return result }
    throw systemFailure(result == -1 ? errno : Int32(clamping: -result), tried(), on: subject(), next: next())
}

/// The failure for an errno, positive: for calls that give it as it is (pthreads, posix_spawn).
package func systemFailure(
    _ code: Int32, _ tried: String, on subject: String, next: String = defaultNext
) -> Failure {
    Failure(
        .system(errno: code), tried: tried, on: subject, because: errorText(code), next: next,
        details: LibBPFLog.take())
}

package let defaultNext = "See `vos-fastpath doctor` for what the host lacks."

/// A file descriptor that is closed when nobody holds it any more.
public final class FileDescriptor {
    public let rawValue: Int32

    public init(_ rawValue: Int32) { self.rawValue = rawValue }

    deinit { close(rawValue) }
}

/// The names in a folder, unsorted, without `.` and `..`; empty where there is no such folder.
public func namesInFolder(_ path: String) -> [String] {
    guard let folder = opendir(path) else { return [] }
    defer { closedir(folder) }
    var names: [String] = []
    while let entry = readdir(folder) {
        let name = withUnsafePointer(to: &entry.pointee.d_name) {
            $0.withMemoryRebound(to: CChar.self, capacity: MemoryLayout.size(ofValue: $0.pointee)) {
                String(cString: $0)
            }
        }
        if name != ".", name != ".." { names.append(name) }
    }
    return names
}

/// The content of a file as bytes.
public func readFile(_ path: String) throws(Failure) -> [UInt8] {
    let file = FileDescriptor(
        try check(open(path, O_RDONLY | O_CLOEXEC), "read the file", on: path, next: "Check the path and its rights."))
    var content: [UInt8] = []
    var size = stat()
    if fstat(file.rawValue, &size) == 0 { content.reserveCapacity(Int(size.st_size)) }
    var buffer = [UInt8](repeating: 0, count: 1 << 16)
    while true {
        let count = read(file.rawValue, &buffer, buffer.count)
        if count < 0, errno == EINTR { continue }
        _ = try check(Int32(clamping: count), "read the file", on: path, next: "Check the path and its rights.")
        if count == 0 { return content }
        content.append(contentsOf: buffer[..<count])
    }
}

/// The `sz` of a libbpf options struct whose last field is `field`. Not the struct's size: libbpf wants the bytes behind
/// the last field to be zero, and Swift promises nothing about padding.
func optionsSize<Options, Value>(upTo field: KeyPath<Options, Value>) -> Int {
    guard let offset = MemoryLayout<Options>.offset(of: field) else { return MemoryLayout<Options>.size }
    return offset + MemoryLayout<Value>.size
}
