// SPDX-License-Identifier: Apache-2.0
import CLibBPF
import FastpathCore
import Glibc

/// A program in the kernel, whoever loaded it.
public final class Program {
    public let id: UInt32
    /// At most 15 characters.
    public let name: String
    /// Eight bytes in hexadecimal.
    public let tag: String
    /// Seconds since 1970-01-01 UTC.
    public let loaded: Int64
    /// Bytes of machine code; 0 where the kernel interprets or hides it.
    public let jittedSize: Int
    /// Instructions that the verifier walked.
    public let verifiedInstructions: Int
    private let mapIDs: [UInt32]
    private let file: FileDescriptor

    public var fd: Int32 { file.rawValue }

    init(owning fd: Int32) throws(Failure) {
        let file = FileDescriptor(fd)
        var ids = [UInt32](repeating: 0, count: 64)
        var info = bpf_prog_info()
        var length = UInt32(MemoryLayout<bpf_prog_info>.size)
        let result = ids.withUnsafeMutableBytes { ids in
            info.nr_map_ids = 64
            info.map_ids = UInt64(UInt(bitPattern: ids.baseAddress))
            return bpf_obj_get_info_by_fd(fd, &info, &length)
        }
        _ = try check(result, "ask the kernel about a program", on: "fd \(fd)")
        self.file = file
        id = info.id
        name = fixedString(info.name)
        tag = withUnsafeBytes(of: info.tag) { $0.map { hexadecimal($0) }.joined() }
        loaded = realTime(sinceBoot: info.load_time)
        jittedSize = Int(info.jited_prog_len)
        verifiedInstructions = Int(info.verified_insns)
        mapIDs = Array(ids.prefix(Int(min(info.nr_map_ids, 64))))
    }

    /// The program with an id. Needs CAP_SYS_ADMIN.
    public static func withID(_ id: UInt32) throws(Failure) -> Program {
        try Program(
            owning: check(
                bpf_prog_get_fd_by_id(id), "open a program by its id", on: "program \(id)", next: "Run it as root."))
    }

    /// The program pinned at `path`, or nil where there is no pin.
    public static func pinned(at path: String) throws(Failure) -> Program? {
        let fd = bpf_obj_get(path)
        if fd < 0, errno == ENOENT { return nil }
        return try Program(owning: check(fd, "open a pinned program", on: path, next: "Run it as root."))
    }

    /// The maps that the program uses.
    public func maps() throws(Failure) -> [BPFMap] {
        try mapIDs.map { (id) throws(Failure) in try BPFMap.withID(id) }
    }

    /// One of the public maps that the program uses, or nil.
    public func map(_ map: PublicMap) throws(Failure) -> BPFMap? {
        try maps().first { $0.name == map.name }
    }

    /// Is it ours? Its name and the four public maps tell.
    public func isEdge() throws(Failure) -> Bool {
        guard name == edgeProgramName else { return false }
        let names = Set(try maps().map(\.name))
        return PublicMap.allCases.allSatisfy { names.contains($0.name) }
    }
}

private func hexadecimal(_ byte: UInt8) -> String {
    let digits = String(byte, radix: 16)
    return byte < 16 ? "0" + digits : digits
}

/// The wall-clock second at which `nanoseconds` since boot had passed.
private func realTime(sinceBoot nanoseconds: UInt64) -> Int64 {
    var now = timespec()
    var boot = timespec()
    clock_gettime(CLOCK_REALTIME, &now)
    clock_gettime(CLOCK_BOOTTIME, &boot)
    return Int64(now.tv_sec) - Int64(boot.tv_sec) + Int64(nanoseconds / 1_000_000_000)
}
