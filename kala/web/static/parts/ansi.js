// What a program printed for a terminal, as lines of text with their colours. Pure: no elements here.
//
// A line is {text, marks}: from each mark's `at` on, `ink` and `ground` are colours (0 the terminal's own, 1 to 256 one of
// its palette, RGB | n), and `flags` say what else. `{goesOn: true}`: it was too long for one line, and the next one is its
// rest. A line without styles is its text alone.

export const RGB = 0x1000000;
export const BOLD = 1, DIM = 2, ITALIC = 4, UNDERLINE = 8, INVERSE = 16, STRUCK = 32;

const LONGEST = 1 << 20; // characters of a line
const ROW = 4096; // longer lines are not printed over: a terminal would go back to the start of its row, and no further
const STYLES = 16_384; // changes of style in a line
const HELD = 4096; // characters after which a sequence that does not end was none
const PLAIN = { ink: 0, ground: 0, flags: 0 };
const FLAGS = { 1: BOLD, 2: DIM, 3: ITALIC, 4: UNDERLINE, 7: INVERSE, 9: STRUCK, 21: UNDERLINE };
const NO_FLAGS = { 22: BOLD | DIM, 23: ITALIC, 24: UNDERLINE, 27: INVERSE, 29: STRUCK };
const PLACES = { 3: "ink", 4: "ground", 9: "ink", 10: "ground" }; // by tens
const CONTROL = /[\x00-\x08\x0a-\x1f\x7f-\x9f]/g; // all but the tab
// With parameters, which may be broken off; titles, links and the like up to BEL or ESC \ (an end of line ends them as well,
// lest one that is never closed hides all); of a character set; others; what is none.
const SEQUENCE = /\x1b(?:\[([ -?]*)(?:([@-~])|(?=[^ -~]))|[\]PX^_][^\x07\x9c\n\x1b]*(?:[\x07\x9c]|\x1b\\|(?=\n|\x1b[^\\]))|[ -/][^]|[0-OQ-WYZ\\\x60-~]|(?=[^ -~]))/y;

// Takes text in pieces of any size, cut anywhere. `feed(text, done)` calls `done(line)` for each line that has ended;
// `line()` is the one that is being printed. `end(done)`: nothing more comes.
export function terminal() {
  let text = "";
  let marks = [];
  let column = 0;
  let style = PLAIN;
  let held = ""; // the beginning of a sequence that has not ended

  const line = () => (marks.length ? { text, marks } : text);

  function next(done, goesOn) {
    done(goesOn ? { text, marks, goesOn } : line());
    text = "";
    marks = [];
    column = 0;
  }

  function write(piece, done) {
    if (column < text.length && text.length > ROW) next(done);
    if (column < text.length) return overwrite(piece);
    for (let at = 0; at < piece.length; ) {
      if (marks.length >= STYLES || text.length >= LONGEST) next(done, true);
      mark(text.length, style);
      const part = piece.slice(at, at + LONGEST - text.length);
      text += part;
      at += part.length;
    }
    column = text.length;
  }

  function mark(at, { ink, ground, flags }) {
    const last = marks.at(-1) ?? PLAIN;
    if (last.ink !== ink || last.ground !== ground || last.flags !== flags) marks.push({ at, ink, ground, flags });
  }

  function overwrite(piece) {
    const end = column + piece.length;
    const before = marks;
    marks = before.filter((one) => one.at < column);
    mark(column, style);
    if (end < text.length) mark(end, before.findLast((one) => one.at <= end) ?? PLAIN);
    marks.push(...before.filter((one) => one.at > end));
    // half of a character that takes two places is none
    text = (text.slice(0, column) + piece + text.slice(end)).replace(/\p{Cs}/gu, " ");
    column = end;
  }

  function sequence(given, final) {
    if (final === "m" && /^[\d:;]*$/.test(given)) style = styled(style, given);
    else if (final === "K" && given !== "1") {
      const isAll = given === "2";
      text = isAll ? " ".repeat(column) : text.slice(0, column);
      marks = marks.filter((one) => !isAll && one.at < column);
    }
  }

  function feed(piece, done) {
    piece = held + piece;
    held = "";
    for (let place = 0; place < piece.length; ) {
      CONTROL.lastIndex = place;
      const stop = CONTROL.exec(piece)?.index ?? piece.length;
      if (stop > place) write(piece.slice(place, stop), done);
      const code = piece[stop];
      place = stop + 1;
      if (code === "\n") next(done);
      else if (code === "\r") column = 0;
      else if (code === "\b" && column && text.length <= ROW) column -= 1;
      else if (code === "\x1b") {
        SEQUENCE.lastIndex = stop;
        const found = SEQUENCE.exec(piece);
        if (found) {
          place = SEQUENCE.lastIndex;
          sequence(found[1], found[2]);
        } else if (piece.length - stop < HELD) {
          held = piece.slice(stop);
          return;
        }
      }
    }
  }

  function end(done) {
    held = "";
    if (text) next(done);
  }

  return { feed, line, end };
}

function styled(style, given) {
  let next = { ...style };
  // 38:2::1:2:3 and 38;2;1;2;3 are the same
  const alike = given.replace(/8:2:\d*(?=(:\d+){3})/g, "8:2").replace(/8:[\d:]+/g, (one) => one.replaceAll(":", ";"));
  const codes = alike.split(";").map((one) => parseInt(one) || 0);
  while (codes.length) {
    const code = codes.shift();
    const tens = Math.floor(code / 10);
    const colour = code % 10;
    if (!code) next = { ...PLAIN };
    else if (FLAGS[code]) next.flags |= FLAGS[code];
    else if (NO_FLAGS[code]) next.flags &= ~NO_FLAGS[code];
    else if (PLACES[tens] && colour === 8) next[PLACES[tens]] = extended(codes) ?? next[PLACES[tens]];
    else if (PLACES[tens]) next[PLACES[tens]] = colour < 8 ? colour + (tens > 4 ? 9 : 1) : 0;
  }
  return next;
}

// The colour that the next numbers say, which it takes; undefined when they say none.
function extended(codes) {
  const count = { 2: 3, 5: 1 }[codes.shift()] ?? 0;
  const parts = codes.splice(0, count);
  if (!count || parts.length < count || parts.some((part) => part > 255)) return undefined;
  return count === 1 ? parts[0] + 1 : parts.reduce((sum, part) => (sum << 8) | part, 1);
}
