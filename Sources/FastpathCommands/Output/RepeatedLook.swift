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

/// How what came since the last look is shown.
protocol IntervalView {
    associatedtype Look
    var output: Output { get }
    /// What a look is that finds nothing loaded.
    func nothing(after last: Look) -> Look
    /// The lines of the live screen.
    func picture(_ interval: LookInterval<Look>) -> [String]
    /// For files and pipes.
    static func lines(_ interval: LookInterval<Look>) -> [String]
    static func json(_ interval: LookInterval<Look>) -> JSONValue
}

extension IntervalView {
    fileprivate func show(_ interval: LookInterval<Look>, _ screen: inout LiveScreen) {
        if !output.isJSON, output.terminal.isInteractive { return screen.show(picture(interval)) }
        if output.isJSON {
            output.json(Self.json(interval))
        } else {
            for line in Self.lines(interval) { output.line(line) }
        }
        output.flush()
    }
}

/// Looks until a signal or `count` ends it, and shows what came since the last look.
struct RepeatedLook<View: IntervalView> {
    var view: View
    var interval: Duration
    /// How many looks; nil for no end.
    var count: Int?

    /// The first look must succeed; later ones may find nothing loaded, for a program is taken off and put back while
    /// somebody watches: then that is shown.
    func run(_ read: () throws(Failure) -> View.Look) throws(Failure) {
        let output = view.output
        let signals = StopSignals()
        var screen = LiveScreen(output)
        defer { screen.end() }
        let clock = ContinuousClock()
        var last = (look: try read(), time: clock.now)
        if output.terminal.isInteractive && !output.isJSON {
            // Something to see at once: what was counted so far.
            view.show(LookInterval(before: last.look, after: last.look, seconds: 0, time: now()), &screen)
        }
        var looks = 0
        var next = last.time
        while looks < count ?? .max, output.writeError == 0 {
            // Against a plan, so that the time a look takes does not add up.
            next += interval
            if next < clock.now { next = clock.now }
            if signals.wait(clock.now.duration(to: next)) { return }
            let look = try again(read, after: last.look)
            let time = clock.now
            view.show(
                LookInterval(before: last.look, after: look, seconds: (time - last.time) / .seconds(1), time: now()),
                &screen)
            last = (look, time)
            looks += 1
        }
    }

    private func again(_ read: () throws(Failure) -> View.Look, after last: View.Look) throws(Failure) -> View.Look {
        do throws(Failure) {
            return try read()
        } catch {
            guard error.kind == .notLoaded || error.kind == .noInterface else { throw error }
            return view.nothing(after: last)
        }
    }
}
