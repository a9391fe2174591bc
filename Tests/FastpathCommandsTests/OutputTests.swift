// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import Glibc
import Testing

@testable import FastpathCommands

@Suite struct TableTests {
    @Test func columnsAreAsWideAsTheirWidestCell() {
        var table = Table([.left("NAME"), .right("PACKETS"), .left("MODE")])
        table.add(["veth-sip", "7", "native"])
        table.add(["lo", "1,234,567", "generic"])
        #expect(
            table.lines(colour: false) == [
                "NAME        PACKETS  MODE",
                "veth-sip          7  native",
                "lo        1,234,567  generic",
            ])
    }

    @Test func missingAndEmptyCellsLeaveNoBlanksAtTheEnd() {
        var table = Table([.left("A"), .left("B"), .left("C")], indent: 2)
        table.add(["x"])
        table.add(["", "yy", ""])
        table.add(["", "", "z"])
        #expect(table.lines(colour: false) == ["  A  B   C", "  x", "     yy", "         z"])
    }

    @Test func withoutTitlesThereIsNoHead() {
        var table = Table([.left(""), .right("")])
        table.add(["sum", "12"])
        #expect(table.lines(colour: false) == ["sum  12"])
    }

    @Test func coloursDoNotMoveColumns() {
        var table = Table([.left("VERDICT"), .left("X")])
        table.add([Styled("DROP", .red), "1"])
        #expect(table.lines(colour: true)[1] == "\u{1b}[31mDROP\u{1b}[0m     1")
        #expect(table.lines(colour: false)[1] == "DROP     1")
    }
}

@Suite struct FormatTests {
    @Test(arguments: [(0, "0"), (999, "999"), (1_000, "1,000"), (-1_234_567, "-1,234,567")])
    func count(value: Int, text: String) { #expect(Format.count(value) == text) }

    @Test func countOfTheLargestCounter() { #expect(Format.count(UInt64.max) == "18,446,744,073,709,551,615") }

    @Test(arguments: [
        (0.0, 1, "0.0"), (0.05, 1, "0.1"), (-0.04, 1, "0.0"), (-1.25, 1, "-1.3"), (1234.5, 0, "1,235"),
        (9.999, 2, "10.00"),
        (.infinity, 1, "-"), (.nan, 1, "-"),
    ])
    func decimal(value: Double, places: Int, text: String) { #expect(Format.decimal(value, places: places) == text) }

    @Test(arguments: [
        (0.0, "0"), (0.04, "0"), (12.34, "12.3"), (99.96, "100"), (980, "980"), (9_999.6, "10.0 k"), (12_345, "12.3 k"),
        (999_951, "1.00 M"), (1_420_000, "1.42 M"),
    ])
    func rate(value: Double, text: String) { #expect(Format.rate(value) == text) }

    @Test func bars() {
        #expect(Format.bar(0.5, width: 10, unicode: false) == "#####")
        #expect(Format.bar(0.5, width: 3, unicode: true) == "█▌")
        #expect(Format.bar(7, width: 2, unicode: true) == "██")
        #expect(Format.bar(-1, width: 2, unicode: true) == "")
    }

    @Test func foreignTextCannotSpeakToTheTerminal() {
        #expect(printable("a\u{1b}[2Jb\u{7f}".utf8) == "a.[2Jb.")
        #expect(printable([0xff, 0x41]) == ".A")
    }
}

@Suite struct JSONTests {
    @Test func keysKeepTheirOrder() {
        let value: JSONValue = ["b": 1, "a": [true, nil, "x"], "c": [:]]
        #expect(value.encoded == #"{"b":1,"a":[true,null,"x"],"c":{}}"#)
    }

    @Test func whatMustBeEscapedIs() {
        #expect(
            JSONValue.string("a\"b\\c\n\r\t\u{0}\u{1f}\u{7f}\u{9b}/ü😀").encoded
                == #""a\"b\\c\n\r\t\u0000\u001f\u007f\u009b/ü😀""#)
        #expect(JSONValue.object([.init(key: "a\"", value: 1)]).encoded == #"{"a\"":1}"#)
    }

    @Test func numbers() {
        #expect(JSONValue.number(UInt64.max).encoded == "18446744073709551615")
        #expect(JSONValue.number(Int64.min).encoded == "-9223372036854775808")
        #expect(JSONValue.double(.nan).encoded == "null")
        #expect(JSONValue.double(0.5).encoded == "0.5")
    }
}

@Suite struct OutputTests {
    private let failure = Failure(
        .mapFull(capacity: 4), tried: "add to the block list", on: "192.0.2.1", because: "it is full",
        next: "Raise it:\nvos-fastpath up", details: "line 1\n\nline 3\n")

    @Test func failureHasFourPartsAndItsDetails() {
        let recorder = Recorder()
        recorder.output().failure(failure)
        #expect(
            recorder.err == """
                error: cannot add to the block list
                  on    192.0.2.1
                  why   it is full
                  next  Raise it:
                        vos-fastpath up
                    | line 1
                    |
                    | line 3

                """)
        #expect(recorder.out == "")
    }

    @Test func whatWasTypedCannotSpeakToTheTerminal() {
        let recorder = Recorder()
        let output = recorder.output()
        output.warning("a\u{1b}[2Jb\tc")
        output.failure(Failure(tried: "x", on: "\u{9b}31m\u{7}", because: "y", next: "z"))
        #expect(recorder.err.hasPrefix("warning: a\u{fffd}[2Jb\tc\nerror: cannot x\n  on    \u{fffd}31m\u{fffd}\n"))
    }

    @Test func noColourWhereNobodyLooks() {
        let recorder = Recorder()
        let output = recorder.output()
        output.line(Styled("DROP", .red))
        output.warning("careful")
        output.note("by the way")
        output.flush()
        #expect(recorder.out == "DROP\n")
        #expect(recorder.err == "warning: careful\nnote: by the way\n")
    }

    @Test func coloursOnATerminal() {
        let recorder = Recorder()
        let output = recorder.output(terminal: .colour, errorTerminal: .colour)
        output.line(Styled("DROP", .red), " x")
        output.warning("careful")
        #expect(recorder.out == "\u{1b}[31mDROP\u{1b}[0m x\n")
        #expect(recorder.err == "\u{1b}[33mwarning:\u{1b}[0m careful\n")
    }

    @Test func resultsComeBeforeTheErrorThatFollowsThem() {
        let recorder = Recorder()
        var order: [String] = []
        let output = Output(
            terminal: .none, errorTerminal: .none,
            sink: {
                order.append("out " + $0); return 0
            },
            errorSink: {
                order.append("err " + $0); return 0
            })
        output.line("result")
        output.warning("trouble")
        #expect(order == ["out result\n", "err warning: trouble\n"])
        _ = recorder
    }

    @Test func nothingIsWrittenAfterAFailedWrite() {
        let recorder = Recorder()
        let output = recorder.output()
        recorder.outError = ENOSPC
        output.line("lost")
        output.flush()
        recorder.outError = 0
        output.line("late")
        output.flush()
        #expect(output.writeError == ENOSPC)
        #expect(recorder.out == "")
    }

    @Test func largeResultsAreHandedOverInPieces() {
        let recorder = Recorder()
        let output = recorder.output()
        for _ in 0..<20_000 { output.line("0123456789") }
        #expect(recorder.out.utf8.count >= 1 << 16)
        output.flush()
        #expect(recorder.out.utf8.count == 220_000)
    }

    /// A pseudo-terminal's other end is a terminal.
    @Test(arguments: [
        (["TERM": "xterm", "LANG": "C.UTF-8"], Terminal(isInteractive: true, hasColour: true, isUnicode: true)),
        (["TERM": "xterm", "LC_ALL": "C", "LANG": "de_DE.UTF-8"], Terminal(isInteractive: true, hasColour: true)),
        (["TERM": "xterm", "NO_COLOR": "1"], Terminal(isInteractive: true, hasColour: false)),
        (["TERM": "xterm", "NO_COLOR": ""], Terminal(isInteractive: true, hasColour: true)),
        (["TERM": "dumb"], Terminal(isInteractive: false, hasColour: false)),
        ([:], Terminal(isInteractive: false, hasColour: false)),
    ])
    func terminal(environment: [String: String], expected: Terminal) throws {
        // The C library's functions for this are hidden from Swift; ioctl_tty(2) has the two requests.
        let primary = open("/dev/ptmx", O_RDWR | O_NOCTTY)
        try #require(primary >= 0)
        defer { close(primary) }
        var locked: Int32 = 0
        var number: UInt32 = 0
        try #require(ioctl(primary, 0x4004_5431 /* TIOCSPTLCK */, &locked) == 0)
        try #require(ioctl(primary, 0x8004_5430 /* TIOCGPTN */, &number) == 0)
        let secondary = open("/dev/pts/\(number)", O_RDWR | O_NOCTTY)
        try #require(secondary >= 0)
        defer { close(secondary) }
        #expect(Terminal(descriptor: secondary, environment: { environment[$0] }) == expected)
    }

    @Test func aPipeIsNoTerminal() throws {
        var ends: [Int32] = [0, 0]
        try #require(pipe(&ends) == 0)
        defer { ends.forEach { close($0) } }
        #expect(Terminal(descriptor: ends[1], environment: { _ in "xterm" }) == .none)
    }
}

@Suite struct ProgressBarTests {
    /// A clock that the test moves.
    private final class Clock { var time: Duration = .zero }

    @Test func shortWorkLeavesNoTrace() {
        let recorder = Recorder()
        let clock = Clock()
        let bar = ProgressBar(recorder.output(errorTerminal: .plain), "Importing", total: 100, now: { clock.time })
        clock.time = .milliseconds(999)
        bar.update(99)
        bar.finish()
        #expect(recorder.err == "")
    }

    @Test func longWorkShowsABarThatGoesAway() {
        let recorder = Recorder()
        let clock = Clock()
        let bar = ProgressBar(recorder.output(errorTerminal: .plain), "Importing", total: 2_000, now: { clock.time })
        clock.time = .seconds(2)
        bar.update(1_000)
        // Too soon after the last picture.
        clock.time = .milliseconds(2_050)
        bar.update(1_100)
        bar.finish()
        #expect(
            recorder.err
                == "\rImporting [" + String(repeating: "#", count: 18) + String(repeating: " ", count: 18)
                + "] 50 %  1,000 of 2,000  3 s left\u{1b}[K\r\u{1b}[K")
    }

    @Test func nothingWhereNobodyLooks() {
        let recorder = Recorder()
        let clock = Clock()
        let bar = ProgressBar(recorder.output(), "Importing", total: 100, now: { clock.time })
        clock.time = .seconds(9)
        bar.update(50)
        bar.finish()
        #expect(recorder.err == "")
    }
}

@Suite struct LiveScreenTests {
    @Test func theNextPictureIsDrawnOverTheLast() {
        let recorder = Recorder()
        var screen = LiveScreen(recorder.output(terminal: .plain))
        screen.show(["a", "b"])
        screen.show(["c"])
        screen.end()
        #expect(
            recorder.out
                == "\u{1b}[?25la\u{1b}[K\nb\u{1b}[K\n\u{1b}[J" + "\u{1b}[?25l\u{1b}[2Ac\u{1b}[K\n\u{1b}[J"
                + "\u{1b}[?25h")
    }

    @Test func aPictureIsNeverHigherThanTheScreen() {
        let recorder = Recorder()
        var terminal = Terminal.plain
        terminal.height = 3
        var screen = LiveScreen(recorder.output(terminal: terminal))
        screen.show(["1", "2", "3", "4"])
        #expect(recorder.out == "\u{1b}[?25l1\u{1b}[K\n2\u{1b}[K\n\u{1b}[J")
    }
}
