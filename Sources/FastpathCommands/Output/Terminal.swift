// SPDX-License-Identifier: Apache-2.0
import Glibc

/// What a stream can show.
struct Terminal: Hashable, Sendable {
    /// Is a person watching? A file, a pipe and the journal are not.
    var isInteractive: Bool
    var hasColour: Bool
    /// Can it show block characters? The locale says so.
    var isUnicode: Bool
    /// In character cells.
    var width: Int
    var height: Int

    /// A file or a pipe.
    static let none = Terminal(isInteractive: false, hasColour: false)

    init(isInteractive: Bool, hasColour: Bool, isUnicode: Bool = false, width: Int = 80, height: Int = 24) {
        self.isInteractive = isInteractive
        self.hasColour = hasColour
        self.isUnicode = isUnicode
        self.width = width
        self.height = height
    }

    /// What stands behind a file descriptor. `environment` answers for TERM, NO_COLOR (https://no-color.org)
    /// and the locale.
    init(descriptor: Int32, environment: (String) -> String?) {
        guard isatty(descriptor) == 1 else {
            self = .none
            return
        }
        let isDumb = ["", "dumb"].contains(environment("TERM") ?? "")
        // POSIX: LC_ALL wins over LC_CTYPE, and that over LANG; an empty one counts as not set.
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].lazy.compactMap(environment).first { !$0.isEmpty } ?? ""
        let isUnicode = ["utf-8", "utf8"].contains { locale.lowercased().hasSuffix($0) }
        var size = winsize()
        let isKnown = ioctl(descriptor, UInt(TIOCGWINSZ), &size) == 0 && size.ws_col > 0 && size.ws_row > 0
        self.init(
            isInteractive: !isDumb, hasColour: !isDumb && (environment("NO_COLOR") ?? "").isEmpty,
            isUnicode: isUnicode, width: isKnown ? Int(size.ws_col) : 80, height: isKnown ? Int(size.ws_row) : 24)
    }
}

/// Reads one variable of the process's environment.
func environmentVariable(_ name: String) -> String? {
    getenv(name).map { String(cString: $0) }
}

/// How a piece of text looks on a terminal with colours; elsewhere it is plain.
enum Style: String, Sendable {
    case bold = "1"
    case faint = "2"
    case red = "31"
    case green = "32"
    case yellow = "33"
    case cyan = "36"
    /// For the word that must be seen.
    case alarm = "1;31"
}

/// Text that may be styled: its width on the screen is that of `text`.
struct Styled: Hashable, Sendable, ExpressibleByStringLiteral, ExpressibleByStringInterpolation {
    var text: String
    var style: Style?

    init(_ text: String, _ style: Style? = nil) {
        self.text = text
        self.style = style
    }

    init(stringLiteral text: String) { self.init(text) }

    /// ECMA-48 Select Graphic Rendition, where the terminal has colours.
    func rendered(colour: Bool) -> String {
        guard colour, let style, !text.isEmpty else { return text }
        return "\u{1b}[\(style.rawValue)m\(text)\u{1b}[0m"
    }
}
