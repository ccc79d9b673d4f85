// The second verifier, of evidence packs and of customers' receipts; Node.js 20 or newer, no package.
//
//   node verifier.mjs --agreement HASH [--agreement HASH …] PACK…
//   node verifier.mjs --key VKEY [--witness VKEY …] RECEIPT…
//
// One line of JSON for each file; exit 1 when one is refused. It is written from protocol/SPEC.md
// (sections 1, 3, 6, 18 to 20) and shares nothing with the Python code: programs of two languages have
// to be wrong in the same way before something changed is taken. HASH names an agreement, and VKEY a
// log's key, which you know from somewhere else than the file: they say whose signatures count.

import { createCipheriv, createHash, createPublicKey, verify } from "node:crypto";
import { readFileSync } from "node:fs";

const WIDTH = 256;
const CLOCKS_MS = 5 * 60 * 1000;

function need(holds, code, message) {
  if (!holds) throw Object.assign(new Error(message), { code, isRefusal: true });
}

// --- bytes -------------------------------------------------------------------------------------------

const label = (name) => Buffer.from(`fedseg/v1/${name}`);
const hex = (data) => data.toString("hex");
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function sha256(...parts) {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return hash.digest();
}

function taggedHash(name, ...fields) {
  const parts = [label(name), ...fields].flatMap((field) => {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(field.length);
    return [length, field];
  });
  return sha256(...parts);
}

// Fields of bytes, each after its length in `size` bytes.
function fieldsOf(data, size, code) {
  const fields = [];
  for (let at = 0, end; at < data.length; at = end) {
    need(at + size <= data.length, code, "a length is cut off");
    end = at + size + data.readUIntBE(at, size);
    need(end <= data.length, code, "a field is cut off");
    fields.push(data.subarray(at + size, end));
  }
  return fields;
}

function unhex(value, size) {
  const fits = typeof value === "string" && /^([0-9a-f]{2})*$/.test(value) && value.length === 2 * size;
  need(fits, "E-MALFORMED", `not ${size} bytes in lower-case hex`);
  return Buffer.from(value, "hex");
}

function unbase64(value) {
  const data = Buffer.from(typeof value === "string" ? value : "", "base64");
  need(data.toString("base64") === value, "E-MALFORMED", "not in the usual form of base64");
  return data;
}

function text(data, what) {
  try { return utf8.decode(data); } catch { return need(false, "E-MALFORMED", `${what} is not UTF-8`); }
}

// RFC 8785: JavaScript's own way to write numbers and texts, names in the order of their UTF-16 units.
function canonical(value) {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  const names = Object.keys(value).sort();
  return `{${names.map((name) => `${JSON.stringify(name)}:${canonical(value[name])}`).join(",")}}`;
}

function exactly(value, names, what) {
  const given = value !== null && typeof value === "object" ? Object.keys(value) : ["nothing"];
  const same = canonical(given.sort()) === canonical([...names].sort());
  need(same, "E-MALFORMED", `${what} has not exactly the fields that it has to have`);
}

function parse(data, what) {
  let value = null;
  try { value = JSON.parse(text(data, what)); } catch {}
  const isObject = value !== null && typeof value === "object" && !Array.isArray(value);
  need(isObject, "E-MALFORMED", `${what} is no object in JSON`);
  return value;
}

function parseCanonical(data, what, names) {
  const value = parse(data, what);
  need(canonical(value) === text(data, what), "E-MALFORMED", `${what} is not in the form of RFC 8785`);
  if (names) exactly(value, names, what);
  return value;
}

// --- signatures --------------------------------------------------------------------------------------

const SPKI = Buffer.from("302a300506032b6570032100", "hex");
const keyId = (key) => hex(sha256(key));

function isSigned(key, message, signature) {
  if (key.length !== 32 || signature.length !== 64) return false;
  try {
    const known = createPublicKey({ key: Buffer.concat([SPKI, key]), format: "der", type: "spki" });
    return verify(null, message, known, signature);
  } catch { return false; }
}

// DSSE: the bytes that are signed for a payload of a type.
function preAuthentication(type, payload) {
  return Buffer.concat([Buffer.from(`DSSEv1 ${type.length} ${type} ${payload.length} `), payload]);
}

function envelope(data, name) {
  const type = `application/vnd.fedseg.${name}+json`;
  const outer = parseCanonical(data, "an envelope", ["payload", "payloadType", "signatures"]);
  need(outer.payloadType === type && Array.isArray(outer.signatures), "E-MALFORMED", `not of ${type}`);
  const payload = unbase64(outer.payload);
  const [signed, signatures] = [preAuthentication(type, payload), new Map()];
  for (const one of outer.signatures) {
    exactly(one, ["keyid", "sig"], "a signature");
    need(!signatures.has(one.keyid), "E-MALFORMED", "a key signed twice");
    signatures.set(one.keyid, unbase64(one.sig));
  }
  const isBy = (key) => {
    const signature = signatures.get(keyId(key));
    need(signature === undefined || isSigned(key, signed, signature), "E-SIGNATURE", "one is wrong");
    return signature !== undefined;
  };
  return { said: parseCanonical(payload, name), payload, count: signatures.size, isBy };
}

// --- the archive -------------------------------------------------------------------------------------

const NAME = /^(?=.{1,100}$)[A-Za-z0-9_-][A-Za-z0-9._-]*(\/[A-Za-z0-9_-][A-Za-z0-9._-]*)*$/;

function header(name, size) {
  const sizes = `${size.toString(8).padStart(11, "0")}\0${"0".repeat(11)}\0`;
  const owner = `0000644\0${"0000000\0".repeat(2)}${sizes}${" ".repeat(8)}0${"\0".repeat(100)}`;
  const block = Buffer.alloc(512);
  block.write(`${name.padEnd(100, "\0")}${owner}ustar\0${"00"}${"\0".repeat(64)}`, "latin1");
  block.write("0000000\0".repeat(2), 329);
  block.write(`${block.reduce((total, byte) => total + byte, 0).toString(8).padStart(6, "0")}\0 `, 148);
  return block;
}

function archive(path) {
  const data = readFileSync(path);
  let [files, at, last] = [new Map(), 0, ""];
  const zeros = (from, to) => to <= data.length && data.subarray(from, to).every((byte) => byte === 0);
  while (at + 512 <= data.length && !zeros(at, at + 512)) {
    const name = data.toString("latin1", at, at + 100).replace(/\0+$/, "");
    const size = parseInt(data.toString("latin1", at + 124, at + 135), 8);
    const fits = NAME.test(name) && size >= 0 && header(name, size).equals(data.subarray(at, at + 512));
    need(fits && name > last && size <= 2 ** 28, "E-ARCHIVE", "a header is not as it has to be");
    const end = at + 512 + size;
    files.set(name, data.subarray(at + 512, end));
    [at, last] = [end + ((512 - (size % 512)) % 512), name];
    need(zeros(end, at), "E-ARCHIVE", `${name} ends early, or is not filled with zeros`);
  }
  need(zeros(at, at + 1024) && at + 1024 === data.length, "E-ARCHIVE", "no end of two blocks of zeros");
  const get = (name) => files.get(name) ?? need(false, "E-PACK-FILES", `${name} is missing`);
  const within = (folder) => [...files.keys()].filter((name) => name.startsWith(folder));
  return { names: [...files.keys()], has: (name) => files.has(name), get, within };
}

// --- logs --------------------------------------------------------------------------------------------

const leafHash = (entry) => sha256(Buffer.of(0), entry);
const nodeHash = (left, right) => sha256(Buffer.of(1), left, right);

// The hashes of whole subtrees of a log that grows, the largest first.
class Tree {
  size = 0;
  peaks = [];

  add(leaf) {
    let hash = leaf;
    for (let rest = this.size; rest % 2 === 1; rest = (rest - 1) / 2) hash = nodeHash(this.peaks.pop(), hash);
    this.peaks.push(hash);
    this.size += 1;
  }

  root() {
    return this.size === 0 ? sha256() : this.peaks.reduceRight((right, left) => nodeHash(left, right));
  }
}

// RFC 9162, 2.1.3.2: the root that follows from an entry and its proof.
function provedRoot(leaf, index, size, proof) {
  need(Number.isSafeInteger(index) && index >= 0 && index < size, "E-LOG-FORMAT", "no such entry");
  let [at, last, hash] = [index, size - 1, leaf];
  const half = () => { [at, last] = [Math.floor(at / 2), Math.floor(last / 2)]; };
  for (const one of proof) {
    need(last > 0 && one.length === 32, "E-LOG-INCLUSION", "a proof is too long, or no hash");
    const isRight = at % 2 === 1 || at === last;
    hash = isRight ? nodeHash(one, hash) : nodeHash(hash, one);
    while (isRight && at % 2 === 0 && at > 0) half();
    half();
  }
  need(last === 0, "E-LOG-INCLUSION", "a proof is too short");
  return hash;
}

function tilePath(kind, index, width) {
  const parts = String(index).padStart(15, "0").replace(/^(000)+(?=...)/, "").match(/.{3}/g);
  const where = [...parts.slice(0, -1).map((part) => `x${part}`), parts.at(-1)].join("/");
  return `tile/${kind}/${where}${width === WIDTH ? "" : `.p/${width}`}`;
}

// Reads a log whole, every entry and every stored hash: `each(entry, number)`; its root at each of
// `sizes`, and the names of its files.
function readLog(files, folder, size, sizes, each) {
  const [known, roots, tree] = [new Set([`${folder}checkpoint`]), new Map(), new Tree()];
  const note = () => { if (sizes.has(tree.size)) roots.set(tree.size, tree.root()); };
  const file = (kind, index, width) => {
    const name = `${folder}${tilePath(kind, index, width)}`;
    known.add(name);
    return files.get(name);
  };
  note();
  let row = [];
  for (let start = 0; start < size; start += WIDTH) {
    const width = Math.min(WIDTH, size - start);
    const entries = fieldsOf(file("entries", start / WIDTH, width), 2, "E-LOG-FORMAT");
    need(entries.length === width, "E-LOG-FORMAT", "a bundle has not as many entries as it says");
    for (const entry of entries) {
      each(entry, tree.size);
      row.push(leafHash(entry));
      tree.add(row.at(-1));
      note();
    }
  }
  for (let level = 0; row.length > 0; level += 1) {
    const above = [];
    for (let start = 0; start < row.length; start += WIDTH) {
      const hashes = row.slice(start, start + WIDTH);
      const stored = file(level, start / WIDTH, hashes.length);
      need(Buffer.concat(hashes).equals(stored), "E-LOG-HASHES", `a tile of level ${level} is another one`);
      const tile = new Tree();
      hashes.forEach((hash) => tile.add(hash));
      if (hashes.length === WIDTH) above.push(tile.root());
    }
    row = above;
  }
  return { roots, known };
}

const logName = (party, key) => `fedseg/${party}/${keyId(key).slice(0, 16)}`;
const signer = (name, kind, key, who) => {
  const id = sha256(Buffer.from(`${name}\n`), Buffer.of(kind), key).toString("hex", 0, 4);
  return { name, kind, key, who, line: `${name} ${id}` };
};

// The text of a signed note, and which of `signers` signed it: a cosigner's time, else null.
function readNote(data, signers) {
  const whole = text(data, "a note");
  const cut = whole.lastIndexOf("\n\n");
  const fits = cut >= 0 && whole.endsWith("\n") && cut + 2 < whole.length;
  need(fits && !/[\u0000-\u0009\u000b-\u001f]/.test(whole), "E-LOG-FORMAT", "this is no note");
  const body = whole.slice(0, cut + 1);
  const [known, found] = [new Map(signers.map((one) => [one.line, one])), new Map()];
  for (const line of whole.slice(cut + 2, -1).split("\n")) {
    const match = /^\u2014 ([^\s+]+) ([^ ]+)$/u.exec(line);
    const bytes = unbase64(match?.[2]);
    need(bytes.length > 4, "E-LOG-FORMAT", "a line of a note is no signature");
    const one = known.get(`${match[1]} ${hex(bytes.subarray(0, 4))}`);
    if (one === undefined) continue;
    need(!found.has(one) && bytes.length > 12, "E-LOG-FORMAT", "a key signed twice, or not at all");
    const time = one.kind === 4 ? bytes.readBigUInt64BE(4) : null;
    const message = time === null ? body : `cosignature/v1\ntime ${time}\n${body}`;
    const holds = isSigned(one.key, Buffer.from(message), bytes.subarray(time === null ? 4 : 12));
    need(holds, "E-LOG-SIGNATURE", `a signature of ${one.name} does not hold`);
    found.set(one, time);
  }
  return { body, found };
}

function checkpoint(body) {
  const lines = body.split("\n");
  const fits = lines.length >= 4 && lines.every((line, at) => (line === "") === (at === lines.length - 1));
  need(fits && /^(0|[1-9][0-9]{0,14})$/.test(lines[1]), "E-LOG-FORMAT", "this is no checkpoint");
  return { origin: lines[0], size: Number(lines[1]), root: unbase64(lines[2]) };
}

// A note that a log's own key signed under its name: what `said(body)` makes of it.
function ownNote(data, own, others = []) {
  const { body, found } = readNote(data, [...own, ...others]);
  const names = own.filter((one) => found.has(one)).map((one) => one.name);
  need(names.length > 0, "E-LOG-UNSIGNED", "no key that counts signed a note");
  return { body, found, names };
}

function ownCheckpoint(data, own, others) {
  const { body, found, names } = ownNote(data, own, others);
  const said = checkpoint(body);
  need(names.includes(said.origin), "E-PACK-SIGNATURE", `${said.origin} is another log`);
  return { said, found, body };
}

// --- agreements and releases -------------------------------------------------------------------------

function handOvers(files) {
  const from = new Map();
  const all = files.has("hand-overs") ? fieldsOf(files.get("hand-overs"), 4, "E-MALFORMED") : [];
  for (const { said, count, isBy } of all.map((one) => envelope(one, "hand-over"))) {
    const keys = [unhex(said.old_key, 32), unhex(said.new_key, 32)];
    const holds = keys.every(isBy) && count === 2 && said.old_key !== said.new_key;
    need(holds, "E-HAND-OVER-SIGNATURE", "a hand-over is not signed by both keys alone");
    need(!from.has(said.old_key), "E-KEY-FORK", "two hand-overs from one key");
    from.set(said.old_key, { ...said, key: keys[1] });
  }
  return from;
}

// An agreement that all its parties signed, and every key that each of them has or had.
function agreement(files, name, from) {
  const { said, payload, count, isBy } = envelope(files.get(name), "agreement.v1");
  const hash = hex(taggedHash("agreement", payload));
  need(name === `agreements/${hash}.json`, "E-PACK-AGREEMENT", `${name} is the agreement ${hash}`);
  const keys = new Map();
  for (const { id, public_key: agreed } of said.parties) {
    const had = [unhex(agreed, 32)];
    need(isBy(had[0]) && !keys.has(id), "E-AGR-UNSIGNED", `${id} has not signed ${name}`);
    for (let next = from.get(agreed); next && had.length < 4096; next = from.get(next.new_key)) {
      need(next.role === "partner" && next.partner === id, "E-KEY-PARTY", "a hand-over is somebody else's");
      had.push(next.key);
    }
    keys.set(id, had);
  }
  const every = [...keys.values()].flat().map(keyId);
  need(count === keys.size && new Set(every).size === every.length, "E-AGR-SIGNATURE", "a stranger signed");
  return { hash, said, keys };
}

function checkRelease(files, name, agreements) {
  const { said, isBy } = envelope(files.get(name), "release.v1");
  const under = agreements.get(said.agreement_hash);
  need(under && name === `releases/${said.run_hash}.json`, "E-PACK-LOG", `${name} is of another run`);
  const { max_colluding: colluding, min_partners: fewest } = under.said.secure_sum;
  const quorum = Math.floor((under.keys.size + colluding) / 2) + 1;
  const names = new Set(said.participants.map((one) => one.id));
  const least = Math.max(quorum, fewest, colluding + (under.said.privacy === null ? 2 : 1));
  const all = names.size >= least && [...names].every((one) => under.keys.get(one)?.some(isBy));
  need(all, "E-RELEASE", `${name} is not signed by as many participants as it takes`);
}

// --- the pack ----------------------------------------------------------------------------------------

const TIME = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,6})?(Z|[+-]\d{2}:\d{2})$/;

function moment(value) {
  const found = TIME.test(value) ? Date.parse(value) : NaN;
  need(!Number.isNaN(found), "E-PACK-TIME", `no time: ${value}`);
  return found;
}

function listed(files) {
  const manifest = parseCanonical(files.get("pack.json"), "pack.json",
    ["schema", "party", "made_at", "program", "files"]);
  need(manifest.schema === "fedseg/pack/1", "E-MALFORMED", "another kind of pack");
  const others = files.names.filter((name) => name !== "pack.json" && name !== "pack.note");
  exactly(manifest.files, others, "the list of files");
  const changed = others.find((name) => hex(sha256(files.get(name))) !== manifest.files[name]);
  need(changed === undefined, "E-PACK-FILES", `${changed} is not what is listed`);
  return manifest;
}

// What partners cosigned under an agreement, and the states of the log that were sealed.
function sealed(files, party, under) {
  const { id, secure_sum: terms } = under.said;
  const folder = `seals/${id}/`;
  need(files.has(`${folder}checkpoint`), "E-PACK-WITNESS", `nobody cosigned under ${id}`);
  const own = under.keys.get(party).map((key) => signer(`${logName(party, key)}/${id}`, 1, key));
  const others = [...under.keys].filter(([who]) => who !== party).flatMap(([who, keys]) =>
    keys.map((key) => signer(logName(who, key), 4, key, who)));
  const { said, found } = ownCheckpoint(files.get(`${folder}checkpoint`), own, others);
  const by = new Map([...found].filter(([one]) => one.who).map(([one, time]) => [one.who, Number(time)]));
  need(by.size >= Math.max(1, terms.max_colluding), "E-PACK-WITNESS", `only ${by.size} partners cosigned`);
  const tree = new Tree();
  const lines = text(files.get(`${folder}opened`), "opened seals").split("\n").filter((line) => line !== "");
  const states = lines.map((line) => {
    const one = parseCanonical(Buffer.from(line), "an opened seal", ["nonce", "checkpoint"]);
    tree.add(leafHash(taggedHash("log-seal", unhex(one.nonce, 32), Buffer.from(one.checkpoint))));
    return checkpoint(one.checkpoint);
  });
  const same = tree.size === said.size && tree.root().equals(said.root);
  need(same, "E-PACK-SEALS", "the seals are not those that were signed");
  const falls = states.some((one, at) => at > 0 && one.size < states[at - 1].size);
  need(!falls, "E-PACK-SEALS", "the log got shorter from one seal to the next");
  return { states, by, agreement: id, seals: said.size, entries: states.at(-1)?.size ?? 0 };
}

function checkLog(files, manifest, said, witnessed, agreements) {
  const states = [said, ...witnessed.flatMap((one) => one.states)];
  const sealedUpTo = Math.max(0, ...witnessed.map((one) => one.entries));
  const latest = Math.max(...witnessed.flatMap((one) => [...one.by.values()])) * 1000;
  const [releases, kept] = [new Map(), new Set()];
  let [newest, earlier] = [-Infinity, false];
  const sizes = new Set(states.map((one) => one.size));
  const { roots, known } = readLog(files, "log/", said.size, sizes, (data, number) => {
    const entry = parseCanonical(data, `entry ${number}`);
    need(/^[a-z]+(-[a-z]+)*$/.test(entry.kind), "E-LOG-FORMAT", `entry ${number} is of no kind`);
    const at = Math.min(moment(entry.at), number < sealedUpTo ? latest : Infinity);
    need(number < sealedUpTo || at >= newest - CLOCKS_MS, "E-PACK-TIME", `entry ${number} is back-dated`);
    newest = Math.max(newest, at);
    if (entry.kind === "log-begun") earlier ||= entry.earlier === true;
    if (entry.kind === "release") releases.set(`releases/${entry.run_hash}.json`, entry.sha256);
    if (entry.kind === "agreement-kept") kept.add(`agreements/${entry.agreement_hash}.json`);
  });
  const same = states.every((one) => roots.get(one.size)?.equals(one.root));
  need(same, "E-PACK-SEALS", "this log was not in a state that is signed or sealed");
  need(moment(manifest.made_at) + CLOCKS_MS >= Math.max(newest, latest), "E-PACK-TIME", "it is back-dated");
  for (const [folder, logged] of [["agreements/", kept], ["releases/", new Set(releases.keys())]]) {
    const there = files.within(folder);
    const fits = [...logged].every((one) => files.has(one)) && (earlier || there.length === logged.size);
    need(fits, "E-PACK-LOG", `${folder} has not what the log has`);
  }
  for (const name of files.within("releases/")) {
    const digest = hex(sha256(files.get(name)));
    need((releases.get(name) ?? digest) === digest, "E-PACK-LOG", `${name} is not what the log has`);
    checkRelease(files, name, agreements);
  }
  return known;
}

function checkPack(path, named) {
  const files = archive(path);
  const manifest = listed(files);
  const from = handOvers(files);
  const agreements = new Map();
  for (const name of files.within("agreements/")) {
    const found = agreement(files, name, from);
    need(found.keys.has(manifest.party), "E-PACK-AGREEMENT", `${manifest.party} is no party of ${name}`);
    agreements.set(found.hash, found);
  }
  need(named.every((hash) => agreements.has(hash)), "E-PACK-AGREEMENT", "one that is named is missing");
  const counting = named.map((hash) => agreements.get(hash)).sort((a, b) => a.said.version - b.said.version);
  const newest = new Map(counting.map((one) => [one.said.id, one]));
  const keys = new Map(counting.flatMap((one) => one.keys.get(manifest.party)).map((key) => [hex(key), key]));
  const own = [...keys.values()].map((key) => signer(logName(manifest.party, key), 1, key));
  const note = ownNote(files.get("pack.note"), own);
  const about = note.names.map((name) => `${name}\npack ${hex(sha256(files.get("pack.json")))}\n`);
  need(about.includes(note.body), "E-PACK-SIGNATURE", "pack.note is about something else");
  const { said } = ownCheckpoint(files.get("log/checkpoint"), own);
  const witnessed = [...newest.values()].map((one) => sealed(files, manifest.party, one));
  const isOurs = (state) => own.some((one) => one.name === state.origin);
  need(witnessed.every((one) => one.states.every(isOurs)), "E-PACK-SEALS", "a seal is of another log");
  const log = checkLog(files, manifest, said, witnessed, agreements);
  const seals = [...agreements.values()].flatMap((one) =>
    ["checkpoint", "opened"].map((name) => `seals/${one.said.id}/${name}`));
  const known = new Set(["pack.json", "pack.note", "hand-overs", ...log, ...seals]);
  const isFree = (name) => /^(agreements|releases|documents)\//.test(name);
  const strange = files.names.find((name) => !known.has(name) && !isFree(name));
  need(strange === undefined, "E-PACK-FILES", `nobody knows what ${strange} is`);
  return {
    party: manifest.party, made_at: manifest.made_at, entries: said.size, root: hex(said.root),
    entries_witnessed: Math.max(0, ...witnessed.map((one) => one.entries)),
    releases: files.within("releases/").length,
    witnessed: witnessed.map(({ agreement: id, seals, entries, by }) => ({
      agreement: id, seals, entries, by: Object.fromEntries([...by].sort()) })),
  };
}

// --- receipts ----------------------------------------------------------------------------------------

const RECEIPT = "application/vnd.fedseg.counted-receipt+json";
const BUCKET = 768;

// Whether a handle is in the set that an entry commits to; the bucket is proved to be the handle's.
function isCounted(handle, { entry, bucket: bytes, path }) {
  const bucket = unbase64(bytes);
  need(bucket.length === BUCKET && entry.bits >= 0 && entry.bits <= 30 && entry.bits % 2 === 0,
    "E-RECEIPT-FORMAT", "a bucket or its number's bits are not as they have to be");
  const elements = Array.from({ length: BUCKET / 8 }, (_, at) => bucket.readBigUInt64BE(at * 8));
  need(elements.every((one, at) => at === 0 || one >= elements[at - 1]), "E-RECEIPT-FORMAT", "no order");
  const number = Math.floor(handle.readUInt32BE(0) / 2 ** (32 - entry.bits));
  const leaf = leafHash(Buffer.concat([label("counted-bucket"), bucket]));
  const root = provedRoot(leaf, number, 2 ** entry.bits, path.map(unbase64));
  need(root.equals(unhex(entry.root, 32)), "E-RECEIPT-PROOF", "a bucket is not that of the handle");
  const key = taggedHash("counted-element", unhex(entry.context, 32)).subarray(0, 16);
  const hidden = createCipheriv("aes-128-ecb", key, null).update(handle);
  return elements.includes(hidden.readBigUInt64BE(0) ^ handle.readBigUInt64BE(0));
}

function eventsOf(receipt, run, said) {
  const [handle, contexts] = [run.handle === "" ? Buffer.alloc(0) : unhex(run.handle, 16), new Set()];
  need((handle.length > 0) === run.answers.length > 0, "E-RECEIPT-FORMAT", "a handle without sets");
  const event = (at, round, state, context, left) => ({
    event_time: at, event_type: "fedseg:question-answered", event_state: `fedseg:${state}`,
    entity_id: receipt["fedseg:entity_id"], "fedseg:run": run.run, "fedseg:round": round,
    "fedseg:context": context, "fedseg:left": left,
  });
  const answers = run.answers.map((answer, at) => {
    const { entry } = answer;
    exactly(answer, ["left", "entry", "index", "inclusion", "bucket", "path"], "an answer");
    need(entry.kind === "counted" && typeof answer.left === "boolean", "E-RECEIPT-FORMAT", "no answer");
    const leaf = leafHash(Buffer.from(canonical(entry)));
    const root = provedRoot(leaf, answer.index, said.size, answer.inclusion.map(unbase64));
    need(root.equals(said.root), "E-LOG-INCLUSION", "an entry is not in the log");
    const follows = entry.run === run.run && entry.number === at && entry.key === run.answers[0].entry.key;
    need(follows && !contexts.has(entry.context), "E-RECEIPT-RUN", "sets of different runs, or not all");
    contexts.add(entry.context);
    const state = isCounted(handle, answer) ? "counted" : "not-counted";
    return event(entry.at, entry.round, state, entry.context, answer.left);
  });
  return [...answers, ...run.unrecorded.map((one) => event(one.at, one.round, "not-recorded", "", true))];
}

// A verifier key, as a log (kind 1) or a cosigner (kind 4) has one.
function verifierKey(vkey, kind) {
  const match = /^([^+\s]+)\+[0-9a-f]{8}\+(.+)$/.exec(vkey);
  const bytes = unbase64(match?.[2]);
  const key = signer(match[1], bytes[0], bytes.subarray(1));
  const isIt = key.kind === kind && vkey.startsWith(`${key.line.replace(" ", "+")}+`);
  need(isIt, "E-LOG-FORMAT", `this is no verifier key as it is needed here: ${vkey}`);
  return key;
}

// Which witnesses cosigned the seal of a checkpoint with this text, and when by their clocks.
function seenBy(seal, body, log, witnesses) {
  exactly(seal, ["nonce", "proof"], "a seal");
  const [head, ...note] = seal.proof.split("\n\n");
  const [form, place, ...hashes] = head.split("\n");
  const fits = /^c2sp\.org\/tlog-proof@v1 index (0|[1-9]\d{0,14})$/.test(`${form} ${place}`);
  need(fits, "E-LOG-FORMAT", "no proof of a seal");
  const origin = note[0]?.split("\n")[0] ?? "";
  need(origin.startsWith(`${log.name}/`), "E-LOG-ORIGIN", "the seals are of another log");
  const own = [signer(origin, 1, log.key)];
  const { said, found } = ownCheckpoint(Buffer.from(note.join("\n\n")), own, witnesses);
  const leaf = leafHash(taggedHash("log-seal", unhex(seal.nonce, 32), Buffer.from(body)));
  const root = provedRoot(leaf, Number(place.slice(6)), said.size, hashes.map(unbase64));
  need(root.equals(said.root), "E-LOG-INCLUSION", "the checkpoint was not sealed");
  const others = [...found].filter(([one]) => one.kind === 4);
  return Object.fromEntries(others.map(([one, time]) => [one.name, Number(time)]));
}

function checkReceipt(path, vkey, vkeys) {
  const log = verifierKey(vkey, 1);
  const receipt = parse(readFileSync(path), "a receipt");
  const { "fedseg:signature": signature, ...signed } = receipt;
  const seal = signed["fedseg:seal"];
  exactly(signed, ["schema_version", "fedseg:profile", "receipt_id", "record_id", "pii_principal_id",
    "fedseg:entity_id", "pii_processing", "party_identification", "event", "fedseg:checkpoint",
    "fedseg:runs", ...(seal === undefined ? [] : ["fedseg:seal"])], "a receipt");
  const kind = `${signed.schema_version} ${signed["fedseg:profile"]}`;
  need(kind === "ISO/IEC TS 27560:2023 fedseg/counted-receipt/v1", "E-RECEIPT-FORMAT", "another kind");
  const message = preAuthentication(RECEIPT, Buffer.from(canonical(signed)));
  need(isSigned(log.key, message, unhex(signature, 64)), "E-RECEIPT-SIGNATURE", "the log's key did not sign");
  const { said, body } = ownCheckpoint(Buffer.from(receipt["fedseg:checkpoint"]), [log]);
  const cosigned = seal === undefined ? {} : seenBy(seal, body, log, vkeys.map((one) => verifierKey(one, 4)));
  const runs = receipt["fedseg:runs"];
  need(new Set(runs.map((one) => one.run)).size === runs.length, "E-RECEIPT-RUN", "one run twice");
  const events = runs.flatMap((run) => eventsOf(receipt, run, said));
  need(canonical(events) === canonical(receipt.event), "E-RECEIPT-CLAIM", "events do not follow from proofs");
  return { party: receipt["fedseg:entity_id"], customer: receipt.pii_principal_id, event: events, cosigned };
}

// --- the command -------------------------------------------------------------------------------------

function main(words) {
  const [named, keys, vkeys, paths] = [[], [], [], []];
  for (let at = 0; at < words.length; at += 1) {
    const list = { "--agreement": named, "--key": keys, "--witness": vkeys }[words[at]];
    if (list) list.push(words[(at += 1)]);
    else paths.push(words[at]);
  }
  const takes = (keys.length === 1) !== named.length > 0 && paths.length > 0;
  if (!takes || [named, keys, vkeys].flat().includes(undefined)) {
    console.error("usage: --agreement HASH… PACK…, or --key VKEY [--witness VKEY…] RECEIPT…");
    return 2;
  }
  let code = 0;
  for (const path of paths) {
    let told;
    try {
      told = keys.length ? checkReceipt(path, keys[0], vkeys) : checkPack(path, named);
    } catch ({ isRefusal, code: why, message }) {
      [told, code] = [{ code: isRefusal ? why : "E-MALFORMED", message }, 1];
    }
    console.log(JSON.stringify({ file: path, accepted: told.code === undefined, ...told }));
  }
  return code;
}

process.exitCode = main(process.argv.slice(2));
