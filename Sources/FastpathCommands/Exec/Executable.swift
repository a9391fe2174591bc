// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import FastpathKernel
import Glibc

/// A program that is to run with the library, and whether the loader would load it.
struct Executable {
    /// As execvp(3) finds it.
    var path: String

    /// `command` as it was typed; `search`: the value of PATH.
    init(_ command: String, search: String?) throws(Failure) {
        // Without PATH execvp(3) looks in these two.
        let folders = (search ?? "/bin:/usr/bin").split(separator: ":", omittingEmptySubsequences: false)
        let candidates = command.contains("/") ? [command] : folders.map { "\($0.isEmpty ? "." : $0)/\(command)" }
        for candidate in candidates where Self.isProgram(candidate) {
            path = candidate
            return
        }
        let isThere = access(candidates[0], F_OK) == 0
        throw Failure(
            .system(errno: command.contains("/") && isThere ? EACCES : ENOENT), tried: "run the program",
            on: command,
            because: command.contains("/")
                ? (isThere ? "it is not a file that this user may execute" : "there is no such file")
                : "no folder of PATH has a program of that name",
            next: "Give its whole path, or install it.")
    }

    private static func isProgram(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFREG && access(path, X_OK) == 0
    }

    /// Why the dynamic loader would ignore LD_PRELOAD, as a sentence about the program; nil where it loads it.
    func refusal() -> String? {
        if Self.isStatic((try? readHead(4_096)) ?? []) {
            return "it is statically linked: no dynamic loader runs, which would load the library"
        }
        var status = stat()
        guard stat(path, &status) == 0, !areBitsIgnored else { return nil }
        if status.st_mode & S_ISUID != 0, status.st_uid != getuid() || status.st_uid != geteuid() {
            return "it is set-uid to user \(status.st_uid): the loader ignores LD_PRELOAD for such programs"
        }
        let isSetGroup = status.st_mode & S_ISGID != 0 && status.st_mode & S_IXGRP != 0
        if isSetGroup, status.st_gid != getgid() || status.st_gid != getegid() {
            return "it is set-gid to group \(status.st_gid): the loader ignores LD_PRELOAD for such programs"
        }
        // To the superuser a file's capabilities add nothing (capabilities(7)).
        if getuid() != 0, Host.hasCapabilities(file: path) {
            return "the file has capabilities: the loader ignores LD_PRELOAD for such programs"
        }
        return nil
    }

    /// Does the kernel give no privileges by files, here or to this process?
    private var areBitsIgnored: Bool {
        var file = statvfs()
        return Host.hasNoNewPrivileges
            || statvfs(path, &file) == 0 && file.f_flag & UInt(ST_NOSUID) != 0
    }

    private func readHead(_ count: Int) throws(Failure) -> [UInt8] {
        let file = FileDescriptor(try check(open(path, O_RDONLY | O_CLOEXEC), "read the program", on: path))
        var bytes = [UInt8](repeating: 0, count: count)
        let length = try check(read(file.rawValue, &bytes, count), "read the program", on: path)
        return Array(bytes.prefix(length))
    }

    /// Is it an ELF file of 64 bits without an interpreter (elf(5))? False for what cannot be told.
    static func isStatic(_ head: [UInt8]) -> Bool {
        guard head.count >= 64, head.starts(with: [0x7f, 0x45, 0x4c, 0x46, 2]) else { return false }
        return head.withUnsafeBytes { bytes in
            let type = bytes.loadUnaligned(fromByteOffset: 16, as: UInt16.self)
            let start = bytes.loadUnaligned(fromByteOffset: 32, as: UInt64.self)
            let size = Int(bytes.loadUnaligned(fromByteOffset: 54, as: UInt16.self))
            let count = Int(bytes.loadUnaligned(fromByteOffset: 56, as: UInt16.self))
            // ET_EXEC and ET_DYN, of this machine's byte order.
            guard type == 2 || type == 3, size >= 56, count > 0, start < UInt64(bytes.count) else { return false }
            guard Int(start) + size * count <= bytes.count else { return false }
            let types = (0..<count).map {
                bytes.loadUnaligned(fromByteOffset: Int(start) + size * $0, as: UInt32.self)
            }
            return !types.contains(3)  // PT_INTERP
        }
    }
}
