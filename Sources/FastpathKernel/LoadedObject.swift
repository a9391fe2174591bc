// SPDX-License-Identifier: Apache-2.0
import CFastpathABI
import CFastpathProgram
import CLibBPF
import FastpathCore
import Glibc

/// The name of the packet program, in the object and in the kernel.
public let edgeProgramName = FASTPATH_PROGRAM_NAME

/// A BPF object, loaded by libbpf: its programs and maps live as long as this does.
public final class LoadedObject {
    /// For messages: a path, or "the built-in program".
    public let name: String
    private let object: OpaquePointer

    /// What is set before an object is loaded.
    public struct Options {
        /// Maps to use in place of the object's own, by name. They must have the same types.
        public var maps: [String: BPFMap] = [:]
        /// `max_entries` in place of the object's own, by name.
        public var capacities: [String: Int] = [:]
        /// What the edge program is loaded with; an object holds ``FilterSettings/classic`` by itself.
        public var settings = FilterSettings.classic
        /// Names of maps that the object must have, in the order in which missing ones are named.
        var required: [String] = []

        public init(maps: [String: BPFMap] = [:], capacities: [String: Int] = [:]) {
            self.maps = maps
            self.capacities = capacities
        }
    }

    /// Loads an ELF object from memory. Frames of several buffers are asked for where the kernel knows them
    /// (BPF_F_XDP_HAS_FRAGS, Linux 5.18): without, a native attach fails at large MTUs.
    public init(bytes: UnsafeRawBufferPointer, name: String, options: Options = Options()) throws(Failure) {
        _ = LibBPFLog.installed
        _ = LibBPFLog.take()
        self.name = name
        do throws(Failure) {
            object = try Self.load(bytes, name, options, severalBuffers: true)
        } catch {
            guard error.kind == .system(errno: EINVAL), kernelIsOlder(than: (5, 18)) else { throw error }
            object = try Self.load(bytes, name, options, severalBuffers: false)
        }
        // What libbpf said on the way to success is not the reason of a later failure.
        _ = LibBPFLog.take()
    }

    deinit { bpf_object__close(object) }

    /// The object at a path, or the built-in edge program.
    public static func edge(path: String?, options: Options = Options()) throws(Failure) -> LoadedObject {
        var options = options
        options.required = PublicMap.allCases.map(\.name)
        guard let path else {
            let embedded = fastpath_sip_logic()
            return try LoadedObject(
                bytes: UnsafeRawBufferPointer(start: embedded.bytes, count: embedded.length),
                name: "the built-in program",
                options: options)
        }
        let content = try readFile(path)
        return try content.span.withUnsafeBytes { [options] (bytes) throws(Failure) in
            try LoadedObject(bytes: bytes, name: path, options: options)
        }
    }

    public func program(_ name: String) throws(Failure) -> Program {
        guard let program = bpf_object__find_program_by_name(object, name) else {
            throw Failure(
                .unsupported, tried: "find the program \(name)", on: self.name,
                because: "the object has none of that name",
                next: "Give the object that this project builds.")
        }
        return try Program(
            owning: check(fcntl(bpf_program__fd(program), F_DUPFD_CLOEXEC, 0), "hold a program", on: name))
    }

    public func map(_ name: String) throws(Failure) -> BPFMap {
        guard let map = bpf_object__find_map_by_name(object, name) else {
            throw Failure(
                .unsupported, tried: "find the map \(name)", on: self.name, because: "the object has none of that name",
                next: "Give the object that this project builds.")
        }
        return try BPFMap(owning: check(fcntl(bpf_map__fd(map), F_DUPFD_CLOEXEC, 0), "hold a map", on: name))
    }

    private static func load(
        _ bytes: UnsafeRawBufferPointer, _ name: String, _ options: Options, severalBuffers: Bool
    ) throws(Failure) -> OpaquePointer {
        guard let object = bpf_object__open_mem(bytes.baseAddress, bytes.count, nil) else {
            let code = errno
            throw Failure(
                .system(errno: code), tried: "open a BPF object", on: name, because: errorText(code),
                next: "Give an object that clang made for the BPF target.", details: LibBPFLog.take())
        }
        do throws(Failure) {
            try prepare(object, name, options, severalBuffers)
            _ = try check(
                bpf_object__load(object), "load the program into the kernel", on: name,
                next: "Read the verifier's words below; `vos-fastpath doctor` says what the kernel lacks.")
            return object
        } catch {
            bpf_object__close(object)
            throw error
        }
    }

    private static func prepare(
        _ object: OpaquePointer, _ name: String, _ options: Options, _ severalBuffers: Bool
    ) throws(Failure) {
        let missing = options.required.filter { bpf_object__find_map_by_name(object, $0) == nil }
        guard missing.isEmpty else {
            throw Failure(
                .unsupported, tried: "find the maps of the program", on: name,
                because: "the object lacks \(missing.joined(separator: ", "))",
                next: "Give the object that this project builds.")
        }
        for (mapName, replacement) in options.maps.sorted(by: { $0.key < $1.key }) {
            let map = try requireMap(mapName, of: object, name)
            guard bpf_map__type(map).rawValue == replacement.type, Int(bpf_map__key_size(map)) == replacement.keySize,
                Int(bpf_map__value_size(map)) == replacement.valueSize
            else {
                throw Failure(
                    .unsupported, tried: "use map \(replacement.id) as \(mapName)", on: name,
                    because: "its type or sizes differ from the object's",
                    next: "Run `down` and `up` to make the maps anew.")
            }
            _ = try check(bpf_map__reuse_fd(map, replacement.fd), "use map \(replacement.id) as \(mapName)", on: name)
        }
        var capacities = options.capacities
        if options.settings.hasLimits { capacities[FASTPATH_LIMIT_CELLS_MAP] = Int(FASTPATH_LIMIT_LINES) }
        if options.settings.isOn(.consumers) {
            capacities[FASTPATH_CONSUMERS_MAP] =
                options.maps[PublicMap.xsks.name]?.capacity ?? PublicMap.xsks.defaultCapacity
        }
        if !options.settings.dryRun.isEmpty {
            capacities[FASTPATH_DRY_RUN_SOURCES_MAP] = Int(FASTPATH_DRY_RUN_SOURCES_ENTRIES)
        }
        for (mapName, capacity) in capacities {
            let map = try requireMap(mapName, of: object, name)
            _ = try check(
                bpf_map__set_max_entries(map, UInt32(clamping: capacity)), "size the map \(mapName)", on: name)
        }
        if !options.settings.isClassic {
            var settings = options.settings.abi(secret: UInt64.random(in: 0...UInt64.max))
            guard let map = bpf_object__find_map_by_name(object, FASTPATH_SETTINGS_MAP) else {
                throw Failure(
                    .unsupported, tried: "set the switches of the program", on: name,
                    because: "the object has none: it is profile \(Profile.classic.rawValue) and nothing else",
                    next:
                        "Load it with --profile \(Profile.classic.rawValue), or give the object that this project builds."
                )
            }
            _ = try check(
                bpf_map__set_initial_value(map, &settings, MemoryLayout.size(ofValue: settings)), "set the switches",
                on: name)
        }
        if severalBuffers {
            var program = bpf_object__next_program(object, nil)
            while let current = program {
                if bpf_program__type(current) == BPF_PROG_TYPE_XDP {
                    _ = bpf_program__set_flags(current, bpf_program__flags(current) | UInt32(BPF_F_XDP_HAS_FRAGS))
                }
                program = bpf_object__next_program(object, current)
            }
        }
    }

    private static func requireMap(_ mapName: String, of object: OpaquePointer, _ name: String) throws(Failure)
        -> OpaquePointer
    {
        guard let map = bpf_object__find_map_by_name(object, mapName) else {
            throw Failure(
                .unsupported, tried: "find the map \(mapName)", on: name, because: "the object has none of that name",
                next: "Give the object that this project builds.")
        }
        return map
    }
}

/// Is the running kernel older than a release?
public func kernelIsOlder(than release: (major: Int, minor: Int)) -> Bool {
    var name = utsname()
    guard uname(&name) == 0 else { return false }
    let numbers = fixedString(name.release).split { !("0"..."9").contains($0) }.prefix(2).compactMap { Int($0) }
    guard numbers.count == 2 else { return false }
    return (numbers[0], numbers[1]) < (release.major, release.minor)
}
