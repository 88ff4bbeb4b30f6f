// What we ask the server. Errors carry the server's text and hint.

export class Problem extends Error {
  constructor(text, hint = "") {
    super(text);
    this.hint = hint;
  }
}

const GONE = ["The server cannot be reached.", "Is `edgepose serve` still running?"];

export async function fetchAbout() {
  const response = await ask("api/about");
  return response.json();
}

// Frame by frame what is in a picture or a video, then the end: {done, frames, skipped}.
export async function* lookAt(file, signal) {
  const path = `api/file?name=${encodeURIComponent(file.name)}`;
  const response = await ask(path, { method: "POST", body: file, signal });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  let ended = false;
  while (true) {
    const { done, value } = await reader.read().catch((error) => { throw reason(error); });
    if (done) break;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      const message = JSON.parse(line);
      if (message.error) throw new Problem(message.error, message.hint);
      ended ||= Boolean(message.done);
      yield message;
    }
  }
  if (!ended) throw new Problem(...GONE);
}

// One frame at a time: `look` resolves when the answer to its frame is there.
export class CameraLink {
  #socket; #waiting = null;

  static async open() {
    const link = new CameraLink();
    const address = new URL("api/camera", location.href);
    address.protocol = address.protocol.replace("http", "ws");
    link.#socket = new WebSocket(address);
    link.#socket.onmessage = (event) => link.#answer(JSON.parse(event.data));
    await new Promise((resolve, reject) => {
      link.#socket.onopen = resolve;
      link.#socket.onclose = () => reject(new Problem(...GONE));
    });
    link.#socket.onclose = () => link.#answer({ error: GONE[0], hint: GONE[1] });
    return link;
  }

  look(jpeg) {
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
      if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(jpeg);
      else this.#answer({ error: GONE[0], hint: GONE[1] });
    });
  }

  close() {
    this.#socket.close();
  }

  #answer(message) {
    const waiting = this.#waiting;
    this.#waiting = null;
    if (message.error) waiting?.reject(new Problem(message.error, message.hint));
    else waiting?.resolve(message);
  }
}

async function ask(path, options = {}) {
  const response = await fetch(path, options).catch((error) => { throw reason(error); });
  if (response.ok) return response;
  const said = await response.json().catch(() => ({}));
  throw new Problem(said.error ?? `The server answered ${response.status}.`, said.hint);
}

const reason = (error) => (error.name === "AbortError" ? error : new Problem(...GONE));
