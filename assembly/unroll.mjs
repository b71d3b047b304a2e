// Register tiles without writing every register out. WebAssembly has no arrays of locals, so a loop whose
// counter starts with `$` is written out before the compiler sees it:
//
//   for (let $t = 0; $t < 3; $t++) let sum$t = f32x4.splat(0);   →   let sum0 = …; let sum1 = …; let sum2 = …;
//
// `$t` becomes the number wherever it stands, also inside a name: `a$v_$t` is the element (v, t) of a tile. Variables
// declared by `let` belong to the scope around the loop; without one, a copy is a block, and its constants are its own.
// Bounds are numbers or constants of the same file; loops nest.
const HEAD = /\bfor \(let (\$[a-z]) = (\w+); \1 < (\w+); \1\+\+\) /;

/** Replaces every parsed source that has such loops by one that has them written out. */
export function unrollLoops(parser) {
  for (const [place, source] of parser.sources.entries()) {
    if (!source.internalPath.startsWith("assembly/") || !HEAD.test(source.text)) continue;
    const constants = new Map([...source.text.matchAll(/^const (\w+) = (\d+);/gm)].map(([, name, value]) => [name, value]));
    parser.donelog.delete(source.internalPath); // or it would not be parsed again
    parser.parseFile(unroll(source.text, constants), `${source.internalPath}.ts`, false);
    parser.sources[place] = parser.sources.pop();
  }
}

function unroll(text, constants) {
  const head = HEAD.exec(text);
  if (head === null) return text;
  const [loop, counter, from, to] = head;
  const [lo, hi] = [from, to].map((bound) => Number(constants.get(bound) ?? bound));
  if (Number.isNaN(hi - lo)) throw new Error(`unroll: ${loop}: a bound is neither a number nor a constant of this file`);
  const start = head.index + loop.length;
  const end = statementEnd(text, start);
  const statements = text[start] === "{" ? text.slice(start + 1, end - 1) : text.slice(start, end);
  const body = unroll(statements, constants);
  const copy = /\blet\b/.test(body) ? body : `{${body}}`;
  let copies = "";
  for (let i = lo; i < hi; i++) copies += copy.replaceAll(counter, String(i));
  return text.slice(0, head.index) + copies + unroll(text.slice(end), constants);
}

/** Offset behind the statement that starts at `start`: a block, a loop with its body, or everything up to a semicolon. */
function statementEnd(text, start) {
  let depth = 0;
  for (let i = start; i < text.length; i++) {
    if (text.startsWith("//", i)) i = text.indexOf("\n", i);
    if ("({[".includes(text[i])) depth++;
    if (")}]".includes(text[i])) depth--;
    if (depth === 0 && (text[i] === ";" || text[i] === "}")) return i + 1;
  }
  throw new Error("unroll: a loop without an end");
}
