// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import FastpathCore

/// Options of the commands that look again and again.
struct WatchOptions: ParsableArguments {
    @Option(
        defaultAsFlag: 1, help: ArgumentHelp("Look again and again, every so many seconds.", valueName: "seconds"))
    var watch: Double?

    @Option(help: ArgumentHelp("With --watch: end after so many looks.", valueName: "number"))
    var count: Int?

    func validate() throws {
        if let watch, !(0.1...86_400).contains(watch) {
            throw ValidationError("--watch must be from 0.1 to 86400 seconds")
        }
        if watch == nil, count != nil { throw ValidationError("--count needs --watch") }
        if let count, count < 1 { throw ValidationError("--count must be 1 or more") }
    }

    /// The parser takes `--watch=x` for a plain `--watch`: an option whose value may be missing lets a wrong one go.
    static func requireInterval(_ arguments: [String], of command: String) throws(Failure) {
        let option = "--watch="
        guard let word = arguments.first(where: { $0.hasPrefix(option) }), Double(word.dropFirst(option.count)) == nil
        else { return }
        throw Failure(
            .usage, tried: "read the command line", on: word, because: "--watch takes a number of seconds",
            next: "See 'vos-fastpath \(command) --help'.")
    }
}

/// Two looks at something that counts.
struct LookInterval<Look> {
    var before: Look
    var after: Look
    /// Between them; 0 for the first one.
    var seconds: Double
    /// Seconds since 1970-01-01 UTC at the end.
    var time: Int64
}

/// Looks until a signal or `count` ends it, and shows what came since the last look.
struct RepeatedLook {
    var output: Output
    var interval: Duration
    /// How many looks; nil for no end.
    var count: Int?

    /// The first look must succeed; later ones may find nothing loaded, for a program is taken off and put back while
    /// somebody watches: then `nothing` of the last look is shown.
    func run<Look>(
        _ read: () throws(Failure) -> Look, without nothing: (Look) -> Look,
        show: (LookInterval<Look>, inout LiveScreen) -> Void
    ) throws(Failure) {
        let signals = StopSignals()
        var screen = LiveScreen(output)
        defer { screen.end() }
        let clock = ContinuousClock()
        var last = (look: try read(), time: clock.now)
        if output.terminal.isInteractive && !output.isJSON {
            // Something to see at once: what was counted so far.
            show(LookInterval(before: last.look, after: last.look, seconds: 0, time: now()), &screen)
        }
        var looks = 0
        var next = last.time
        while looks < count ?? .max, output.writeError == 0 {
            // Against a plan, so that the time a look takes does not add up.
            next += interval
            if next < clock.now { next = clock.now }
            if signals.wait(clock.now.duration(to: next)) { return }
            let look = try again(read, after: last.look, nothing)
            let time = clock.now
            show(
                LookInterval(before: last.look, after: look, seconds: (time - last.time) / .seconds(1), time: now()),
                &screen)
            last = (look, time)
            looks += 1
        }
    }

    private func again<Look>(
        _ read: () throws(Failure) -> Look, after last: Look, _ nothing: (Look) -> Look
    ) throws(Failure) -> Look {
        do throws(Failure) {
            return try read()
        } catch {
            guard error.kind == .notLoaded || error.kind == .noInterface else { throw error }
            return nothing(last)
        }
    }
}
