// The lines of code that commands become. Pure.

export interface Command {
  name: "run" | "resume" | "cancel" | "fork";
  flow?: string;
  run?: string;
  only?: string;
  from?: string;
  until?: string;
}

/** One line of Python that carries the command out. Its result is not displayed: the panel shows the run. */
export function codeOf(command: Command): string {
  const words: string[] = [];
  if (command.name === "run") {
    if (command.flow !== undefined) words.push(quoted(command.flow));
    for (const part of ["only", "from", "until"] as const) {
      const step = command[part];
      if (step !== undefined) words.push(`--${part}`, quoted(step));
    }
  } else if (command.run !== undefined) words.push(quoted(command.run));
  if (command.name === "fork" && command.from !== undefined) words.push("--from", quoted(command.from));
  return `get_ipython().run_line_magic(${JSON.stringify(`szal_${command.name}`)}, ${JSON.stringify(words.join(" "))});`;
}

/** A word of a magic's line, as a shell would need it. */
const quoted = (word: string): string =>
  /^[\p{L}\p{N}_.][\p{L}\p{N}_.-]*$/u.test(word) ? word : `'${word.replaceAll("'", `'"'"'`)}'`;
