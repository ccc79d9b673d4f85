// The second verifier of evidence packs: needs Node.js 20 or newer, and no package.
//
//   node verifier.mjs --agreement HASH [--agreement HASH …] PACK…
//
// One line of JSON for each pack; exit 1 when one is refused. It is written from protocol/SPEC.md
// (sections 1, 3, 6, 18 and 20), not from the Python code: two programs of two languages have to be
// wrong in the same way before a changed pack is taken. HASH is that of an agreement that you know
// from somewhere else than the pack; it fixes whose keys count.

import { createHash, createPublicKey, verify as verifySignature } from "node:crypto";
import { closeSync, fstatSync, openSync, readSync } from "node:fs";

const WIDTH = 256;
const MAX_ENTRY = 65535;
const CLOCKS_MS = 5 * 60 * 1000;
const PREFIX = "fedseg/v1/";

class Refused extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

function need(holds, code, message) {
  if (!holds) throw new Refused(code, message);
}

// --- bytes -------------------------------------------------------------------------------------

const sha256 = (...parts) => {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return hash.digest();
};

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function text(data, what) {
  try {
    return utf8.decode(data);
  } catch {
    throw new Refused("E-MALFORMED", `${what} is not UTF-8`);
  }
}

function frame(...fields) {
  const parts = [];
  for (const field of fields) {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(field.length);
    parts.push(length, field);
  }
  return Buffer.concat(parts);
}

function unframe(data) {
  const fields = [];
  let at = 0;
  while (at < data.length) {
    need(at + 4 <= data.length, "E-MALFORMED", "a length is cut off");
    const end = at + 4 + data.readUInt32BE(at);
    need(end <= data.length, "E-MALFORMED", "a field is cut off");
    fields.push(data.subarray(at + 4, end));
    at = end;
  }
  return fields;
}

const taggedHash = (name, ...fields) => sha256(frame(Buffer.from(PREFIX + name), ...fields));

function unhex(value, size) {
  need(typeof value === "string" && /^([0-9a-f]{2})*$/.test(value), "E-MALFORMED", "no hex");
  const data = Buffer.from(value, "hex");
  need(size === undefined || data.length === size, "E-MALFORMED", `not ${size} bytes of hex`);
  return data;
}

function unbase64(value) {
  need(typeof value === "string", "E-MALFORMED", "no base64");
  const data = Buffer.from(value, "base64");
  need(data.toString("base64") === value, "E-MALFORMED", "not in the usual form of base64");
  return data;
}

// RFC 8785: JavaScript's own way to write numbers and texts, keys in the order of their UTF-16 units.
function canonical(value) {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  const keys = Object.keys(value).sort();
  return `{${keys.map((key) => `${JSON.stringify(key)}:${canonical(value[key])}`).join(",")}}`;
}

function parseCanonical(data, what, fields) {
  const read = text(data, what);
  let value;
  try {
    value = JSON.parse(read);
  } catch {
    throw new Refused("E-MALFORMED", `${what} is not JSON`);
  }
  const isObject = value !== null && typeof value === "object" && !Array.isArray(value);
  need(isObject && canonical(value) === read, "E-MALFORMED", `${what} is not RFC 8785 JSON`);
  if (fields) exactly(value, fields, what);
  return value;
}

function exactly(value, fields, what) {
  need(value !== null && typeof value === "object", "E-MALFORMED", `${what} is no object`);
  const same = Object.keys(value).sort().join() === [...fields].sort().join();
  need(same, "E-MALFORMED", `${what} lacks or has too many fields`);
}

// --- signatures --------------------------------------------------------------------------------

const ED25519_SPKI = Buffer.from("302a300506032b6570032100", "hex");

function signatureHolds(key, message, signature) {
  if (key.length !== 32 || signature.length !== 64) return false;
  const spki = Buffer.concat([ED25519_SPKI, key]);
  try {
    const known = createPublicKey({ key: spki, format: "der", type: "spki" });
    return verifySignature(null, message, known, signature);
  } catch {
    return false;
  }
}

const keyId = (key) => sha256(key).toString("hex");

// A DSSE envelope: its payload, and the ids of those of `keys` that signed it.
function envelope(data, type) {
  const outer = parseCanonical(data, "an envelope", ["payload", "payloadType", "signatures"]);
  need(outer.payloadType === type, "E-MALFORMED", `an envelope of ${outer.payloadType}`);
  const payload = unbase64(outer.payload);
  const kind = Buffer.from(type);
  const signed = Buffer.concat([
    Buffer.from(`DSSEv1 ${kind.length} ${type} ${payload.length} `), payload,
  ]);
  const signatures = new Map();
  need(Array.isArray(outer.signatures), "E-MALFORMED", "no list of signatures");
  for (const one of outer.signatures) {
    exactly(one, ["keyid", "sig"], "a signature");
    need(!signatures.has(one.keyid), "E-MALFORMED", "a key signed twice");
    signatures.set(one.keyid, unbase64(one.sig));
  }
  const isSignedBy = (key) => {
    const signature = signatures.get(keyId(key));
    if (signature === undefined) return false;
    need(signatureHolds(key, signed, signature), "E-SIGNATURE", "a signature does not hold");
    return true;
  };
  return { payload, signatures, isSignedBy };
}

// --- the archive -------------------------------------------------------------------------------

const FILE_NAME = /^(?=.{1,100}$)[A-Za-z0-9_-][A-Za-z0-9._-]*(\/[A-Za-z0-9_-][A-Za-z0-9._-]*)*$/;

function header(name, size) {
  const block = Buffer.alloc(512);
  block.write(name, 0, "latin1");
  block.write("0000644\0", 100);
  block.write("0000000\0", 108);
  block.write("0000000\0", 116);
  block.write(`${size.toString(8).padStart(11, "0")}\0`, 124);
  block.write("00000000000\0", 136);
  block.write("        ", 148);
  block.write("0", 156);
  block.write("ustar\0" + "00", 257);
  block.write("0000000\0", 329);
  block.write("0000000\0", 337);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  return block;
}

function archive(path) {
  const file = openSync(path, "r");
  const total = fstatSync(file).size;
  const places = new Map();
  const wrong = (what) => new Refused("E-ARCHIVE", what);
  const read = (at, size) => {
    if (at + size > total) throw wrong("it ends early");
    const data = Buffer.alloc(size);
    let done = 0;
    while (done < size) {
      const got = readSync(file, data, done, size - done, at + done);
      if (got === 0) throw wrong("it ends early");
      done += got;
    }
    return data;
  };
  let at = 0;
  let last = "";
  for (;;) {
    const block = read(at, 512);
    if (block.every((byte) => byte === 0)) break;
    const name = block.subarray(0, 100).toString("latin1").replace(/\0+$/, "");
    const size = parseInt(block.subarray(124, 135).toString("latin1"), 8);
    const fits = FILE_NAME.test(name) && Number.isSafeInteger(size) && size >= 0;
    if (!fits || !block.equals(header(name, size))) throw wrong("a header is not as it has to be");
    if (name <= last) throw wrong(`${name} comes after ${last}`);
    const rest = (512 - (size % 512)) % 512;
    if (read(at + 512 + size, rest).some((byte) => byte !== 0)) throw wrong(`${name} is not filled`);
    places.set(name, [at + 512, size]);
    last = name;
    at += 512 + size + rest;
  }
  if (read(at, 1024).some((byte) => byte !== 0) || at + 1024 !== total) throw wrong("no end");
  return {
    names: [...places.keys()],
    has: (name) => places.has(name),
    get: (name) => {
      need(places.has(name), "E-PACK-FILES", `${name} is missing`);
      return read(...places.get(name));
    },
    close: () => closeSync(file),
  };
}

// --- logs --------------------------------------------------------------------------------------

const leafHash = (entry) => sha256(Buffer.of(0), entry);
const nodeHash = (left, right) => sha256(Buffer.of(1), left, right);
const EMPTY_ROOT = sha256();

// Roots of a growing log: of each height the hash of the last whole subtree.
class Tree {
  size = 0;
  #stack = [];

  add(leaf) {
    let hash = leaf;
    for (let size = this.size; size % 2 === 1; size = Math.floor(size / 2)) {
      hash = nodeHash(this.#stack.pop(), hash);
    }
    this.#stack.push(hash);
    this.size += 1;
  }

  root() {
    if (this.size === 0) return EMPTY_ROOT;
    return this.#stack.slice(0, -1).reduceRight((right, left) => nodeHash(left, right), this.#stack.at(-1));
  }
}

function tilePath(kind, index, width) {
  const digits = String(index);
  const parts = digits.padStart(Math.ceil(digits.length / 3) * 3, "0").match(/.{3}/g);
  const where = [...parts.slice(0, -1).map((part) => `x${part}`), parts.at(-1)].join("/");
  return `tile/${kind}/${where}${width === WIDTH ? "" : `.p/${width}`}`;
}

function bundle(data, width) {
  const entries = [];
  let at = 0;
  while (at < data.length) {
    need(at + 2 <= data.length, "E-LOG-FORMAT", "a bundle is cut off");
    const end = at + 2 + data.readUInt16BE(at);
    need(end <= data.length, "E-LOG-FORMAT", "a bundle is cut off");
    entries.push(data.subarray(at + 2, end));
    at = end;
  }
  need(entries.length === width, "E-LOG-FORMAT", "a bundle has not as many entries as it says");
  return entries;
}

// Reads a log whole: every entry, every stored hash; `each(entry, number)`, and the root that it has
// at each size that is asked for.
function readLog(files, folder, size, sizes, each) {
  const known = new Set([`${folder}checkpoint`]);
  const roots = new Map();
  const tree = new Tree();
  const note = () => { if (sizes.has(tree.size)) roots.set(tree.size, tree.root()); };
  note();
  let row = [];
  for (let start = 0; start < size; start += WIDTH) {
    const width = Math.min(WIDTH, size - start);
    const name = `${folder}${tilePath("entries", start / WIDTH, width)}`;
    known.add(name);
    for (const entry of bundle(files.get(name), width)) {
      need(entry.length <= MAX_ENTRY, "E-LOG-FORMAT", "an entry is too long");
      each(entry, tree.size);
      row.push(leafHash(entry));
      tree.add(row.at(-1));
      note();
    }
  }
  for (let level = 0; row.length > 0; level += 1) {
    const above = [];
    for (let start = 0; start < row.length; start += WIDTH) {
      let hashes = row.slice(start, start + WIDTH);
      const name = `${folder}${tilePath(level, start / WIDTH, hashes.length)}`;
      known.add(name);
      need(Buffer.concat(hashes).equals(files.get(name)), "E-LOG-HASHES", `${name} is not that of the entries`);
      if (hashes.length < WIDTH) continue;
      while (hashes.length > 1) {
        hashes = hashes.flatMap((hash, at) => (at % 2 ? [nodeHash(hashes[at - 1], hash)] : []));
      }
      above.push(hashes[0]);
    }
    row = above;
  }
  return { roots, known };
}

// --- notes -------------------------------------------------------------------------------------

const logName = (party, key) => `fedseg/${party}/${keyId(key).slice(0, 16)}`;

function noteId(name, kind, key) {
  return sha256(Buffer.from(`${name}\n`), Buffer.of(kind), key).subarray(0, 4).toString("hex");
}

// The text of a note, and which of `signers` ([{name, kind, key, who}]) signed it and when.
function readNote(data, signers) {
  const whole = text(data, "a note");
  need(!/[\u0000-\u0009\u000b-\u001f]/.test(whole), "E-LOG-FORMAT", "a note has control characters");
  const cut = whole.lastIndexOf("\n\n");
  need(cut >= 0 && whole.endsWith("\n") && cut + 2 < whole.length, "E-LOG-FORMAT", "no note");
  const body = whole.slice(0, cut + 1);
  const known = new Map(signers.map((one) => [`${one.name} ${noteId(one.name, one.kind, one.key)}`, one]));
  const found = new Map();
  for (const line of whole.slice(cut + 2, -1).split("\n")) {
    const match = /^\u2014 ([^ +]+) ([^ ]+)$/.exec(line);
    need(match, "E-LOG-FORMAT", "a line of a note is no signature");
    const bytes = unbase64(match[2]);
    need(bytes.length > 4, "E-LOG-FORMAT", "a signature ends early");
    const signer = known.get(`${match[1]} ${bytes.subarray(0, 4).toString("hex")}`);
    if (signer === undefined) continue;
    need(!found.has(signer), "E-LOG-FORMAT", "a key signed a note twice");
    let signature = bytes.subarray(4);
    let message = body;
    let time = null;
    if (signer.kind === 4) {
      need(signature.length > 8, "E-LOG-FORMAT", "a cosignature ends early");
      time = signature.readBigUInt64BE(0);
      signature = signature.subarray(8);
      message = `cosignature/v1\ntime ${time}\n${body}`;
    }
    need(signatureHolds(signer.key, Buffer.from(message), signature), "E-LOG-SIGNATURE", `a signature of ${signer.name} does not hold`);
    found.set(signer, time);
  }
  return { body, found };
}

function checkpoint(body) {
  const lines = body.split("\n");
  const fits = lines.length >= 4 && lines.every((line, at) => (at === lines.length - 1) === (line === ""));
  need(fits && /^(0|[1-9][0-9]{0,15})$/.test(lines[1]), "E-LOG-FORMAT", "no checkpoint");
  const root = unbase64(lines[2]);
  need(root.length === 32, "E-LOG-FORMAT", "a root has not 32 bytes");
  return { origin: lines[0], size: Number(lines[1]), root };
}

// The checkpoint of a log in a folder, signed by one of `signers` under its own name.
function signedCheckpoint(files, folder, signers, others = []) {
  const { body, found } = readNote(files.get(`${folder}checkpoint`), [...signers, ...others]);
  const said = checkpoint(body);
  const own = signers.filter((one) => found.has(one)).map((one) => one.name);
  need(own.length > 0, "E-LOG-UNSIGNED", `${folder}checkpoint is not signed by its log`);
  need(own.includes(said.origin), "E-PACK-SIGNATURE", `${folder}checkpoint is of another log`);
  return { said, found };
}

// --- documents ---------------------------------------------------------------------------------

const AGREEMENT = "application/vnd.fedseg.agreement.v1+json";
const RELEASE = "application/vnd.fedseg.release.v1+json";
const HAND_OVER = "application/vnd.fedseg.hand-over+json";

function handOvers(files) {
  const from = new Map();
  if (!files.has("hand-overs")) return from;
  for (const one of unframe(files.get("hand-overs"))) {
    const read = envelope(one, HAND_OVER);
    const said = parseCanonical(read.payload, "a hand-over");
    const [oldKey, newKey] = [unhex(said.old_key, 32), unhex(said.new_key, 32)];
    const signed = read.isSignedBy(oldKey) && read.isSignedBy(newKey) && read.signatures.size === 2;
    need(signed && said.old_key !== said.new_key, "E-HAND-OVER-SIGNATURE", "a hand-over is not signed by both keys");
    need(!from.has(said.old_key), "E-KEY-FORK", "two hand-overs from one key");
    from.set(said.old_key, { ...said, newKey });
  }
  return from;
}

// An agreement that all its parties signed, with every key that each has or had.
function agreement(name, data, from) {
  const read = envelope(data, AGREEMENT);
  const said = parseCanonical(read.payload, "an agreement");
  need(Array.isArray(said.parties) && said.parties.length > 0, "E-MALFORMED", "no parties");
  const hash = taggedHash("agreement", read.payload).toString("hex");
  need(name === `agreements/${hash}.json`, "E-PACK-AGREEMENT", `${name} is the agreement ${hash}`);
  const agreed = said.parties.map((party) => unhex(party.public_key, 32));
  for (const [at, key] of agreed.entries()) {
    need(read.isSignedBy(key), "E-AGR-UNSIGNED", `${said.parties[at].id} has not signed ${name}`);
  }
  need(read.signatures.size === agreed.length, "E-AGR-SIGNATURE", `a stranger signed ${name}`);
  const keys = new Map();
  for (const [at, party] of said.parties.entries()) {
    const had = [agreed[at]];
    for (let next = from.get(party.public_key); next; next = from.get(next.new_key)) {
      need(next.role === "partner" && next.partner === party.id && had.length < 4096, "E-KEY-PARTY", "a hand-over is of somebody else");
      had.push(next.newKey);
    }
    keys.set(party.id, had);
  }
  need(keys.size === agreed.length, "E-AGR-PARTY", "two parties have one name");
  return { hash, said, keys };
}

function release(name, data, agreements) {
  const read = envelope(data, RELEASE);
  const said = parseCanonical(read.payload, "a release");
  const under = agreements.get(said.agreement_hash);
  need(under && name === `releases/${said.run_hash}.json`, "E-PACK-LOG", `${name} is of another run, or under no agreement in it`);
  need(Array.isArray(said.participants), "E-RELEASE", `${name} names no participants`);
  const names = new Set(said.participants.map((one) => one.id));
  const { max_colluding: colluding, min_partners: fewest } = under.said.secure_sum;
  const quorum = Math.floor((under.keys.size + colluding) / 2) + 1;
  const least = Math.max(quorum, fewest, colluding + (under.said.privacy === null ? 2 : 1));
  need(names.size >= least, "E-RELEASE", `${name} names too few participants`);
  for (const one of names) {
    const had = under.keys.get(one) ?? [];
    need(had.filter(read.isSignedBy).length > 0, "E-RELEASE", `${one} has not signed ${name}`);
  }
}

// --- the pack ----------------------------------------------------------------------------------

const TIME = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,6})?(Z|[+-]\d{2}:\d{2})$/;

function moment(value) {
  const found = typeof value === "string" && TIME.test(value) ? Date.parse(value) : NaN;
  need(!Number.isNaN(found), "E-PACK-TIME", `no time: ${value}`);
  return found;
}

function listed(files) {
  const bytes = files.get("pack.json");
  const manifest = parseCanonical(bytes, "pack.json", ["schema", "party", "made_at", "program", "files"]);
  need(manifest.schema === "fedseg/pack/1", "E-MALFORMED", "another kind of pack");
  const others = files.names.filter((name) => name !== "pack.json" && name !== "pack.note");
  exactly(manifest.files, others, "the list of files");
  for (const name of others) {
    const same = sha256(files.get(name)).toString("hex") === manifest.files[name];
    need(same, "E-PACK-FILES", `${name} is not what is listed`);
  }
  return { manifest, bytes };
}

// What partners cosigned under an agreement, and the states of the log that were sealed.
function sealed(files, party, under) {
  const folder = `seals/${under.said.id}/`;
  const own = under.keys.get(party).map((key) => ({ name: `${logName(party, key)}/${under.said.id}`, kind: 1, key }));
  const others = [];
  for (const [who, keys] of under.keys) {
    if (who !== party) others.push(...keys.map((key) => ({ name: logName(who, key), kind: 4, key, who })));
  }
  const { said, found } = signedCheckpoint(files, folder, own, others);
  const by = new Map([...found].filter(([one]) => one.kind === 4).map(([one, time]) => [one.who, time]));
  const needed = Math.max(1, under.said.secure_sum.max_colluding);
  need(by.size >= needed, "E-PACK-WITNESS", `${by.size} partners cosigned, ${needed} have to`);
  const opened = parseCanonical(files.get(`${folder}opened.json`), "opened seals", ["seals"]).seals;
  need(Array.isArray(opened) && opened.length === said.size, "E-PACK-SEALS", "not every seal is opened");
  const states = opened.map((one) => {
    exactly(one, ["nonce", "checkpoint"], "an opened seal");
    need(typeof one.checkpoint === "string", "E-MALFORMED", "a seal opens to nothing");
    return checkpoint(one.checkpoint);
  });
  const { roots, known } = readLog(files, folder, said.size, new Set([said.size]), (entry, at) => {
    const { nonce, checkpoint: body } = opened[at];
    const seal = taggedHash("log-seal", unhex(nonce, 32), Buffer.from(body));
    need(seal.equals(entry), "E-PACK-SEALS", `seal ${at} opens to something else`);
  });
  need(roots.get(said.size).equals(said.root), "E-PACK-SEALS", "the seals are not those that were signed");
  states.forEach((state, at) => need(at === 0 || state.size >= states[at - 1].size, "E-PACK-SEALS", "the log got shorter"));
  known.add(`${folder}opened.json`);
  return { states, by, known, id: under.said.id, seals: said.size, entries: states.at(-1)?.size ?? 0 };
}

function checkEntries(files, manifest, said, states, agreements, witnessed) {
  const own = Math.max(0, ...witnessed.map((one) => one.entries));
  const sizes = new Set([said.size, ...states.map((one) => one.size)]);
  const logged = { releases: new Map(), kept: new Set() };
  let newest = -Infinity;
  let earlier = false;
  const { roots, known } = readLog(files, "log/", said.size, sizes, (data, number) => {
    const entry = parseCanonical(data, `entry ${number}`);
    need(/^[a-z]+(-[a-z]+)*$/.test(entry.kind), "E-LOG-FORMAT", `entry ${number} is of no kind`);
    const at = moment(entry.at);
    need(number < own || at >= newest - CLOCKS_MS, "E-PACK-TIME", `entry ${number} is dated before earlier ones`);
    newest = Math.max(newest, at);
    if (entry.kind === "log-begun") earlier ||= entry.earlier === true;
    if (entry.kind === "release") logged.releases.set(`releases/${entry.run_hash}.json`, entry.sha256);
    if (entry.kind === "agreement-kept") logged.kept.add(entry.agreement_hash);
  });
  for (const state of states) {
    const root = roots.get(state.size);
    need(root && root.equals(state.root), "E-PACK-SEALS", "a seal is of a state that this log was not in");
  }
  const latest = witnessed.flatMap((one) => [...one.by.values()]).map((time) => Number(time) * 1000);
  need(moment(manifest.made_at) >= Math.max(newest, ...latest) - CLOCKS_MS, "E-PACK-TIME", "it is dated before what is in it");
  const releases = files.names.filter((name) => name.startsWith("releases/"));
  compare("agreements", logged.kept, new Set(agreements.keys()), earlier);
  compare("releases", new Set(logged.releases.keys()), new Set(releases), earlier);
  for (const name of releases) {
    const data = files.get(name);
    const digest = sha256(data).toString("hex");
    need((logged.releases.get(name) ?? digest) === digest, "E-PACK-LOG", `${name} is not the release that the log has`);
    release(name, data, agreements);
  }
  return { known, releases: releases.length };
}

function compare(what, logged, there, earlier) {
  const within = [...logged].every((one) => there.has(one));
  need(within && (earlier || there.size === logged.size), "E-PACK-LOG", `${what} in the log and in the pack are not the same`);
}

export function checkPack(path, named) {
  const files = archive(path);
  try {
    const { manifest, bytes } = listed(files);
    const from = handOvers(files);
    const agreements = new Map();
    for (const name of files.names.filter((one) => one.startsWith("agreements/"))) {
      const found = agreement(name, files.get(name), from);
      need(found.keys.has(manifest.party), "E-PACK-AGREEMENT", `${manifest.party} is no party of ${name}`);
      agreements.set(found.hash, found);
    }
    need(named.length > 0 && named.every((hash) => agreements.has(hash)), "E-PACK-AGREEMENT", "an agreement that is named is not in it");
    const keys = new Map();
    const newest = new Map();
    for (const hash of named) {
      const found = agreements.get(hash);
      for (const key of found.keys.get(manifest.party)) keys.set(keyId(key), key);
      const before = newest.get(found.said.id);
      if (!before || found.said.version > before.said.version) newest.set(found.said.id, found);
    }
    const signers = [...keys.values()].map((key) => ({ name: logName(manifest.party, key), kind: 1, key }));
    const note = readNote(files.get("pack.note"), signers);
    const digest = sha256(bytes).toString("hex");
    const own = signers.filter((one) => note.found.has(one)).map((one) => `${one.name}\npack ${digest}\n`);
    need(own.length > 0, "E-LOG-UNSIGNED", "pack.note is not signed by the party");
    need(own.includes(note.body), "E-PACK-SIGNATURE", "pack.note is about something else");
    const { said } = signedCheckpoint(files, "log/", signers);
    const witnessed = [...newest.values()].map((one) => sealed(files, manifest.party, one));
    const states = [said, ...witnessed.flatMap((one) => one.states)];
    const names = new Set(signers.map((one) => one.name));
    need(states.every((one) => names.has(one.origin)), "E-PACK-SEALS", "a seal is of another log");
    const log = checkEntries(files, manifest, said, states, agreements, witnessed);
    const known = new Set(["pack.json", "pack.note", "hand-overs", ...log.known]);
    for (const one of witnessed) one.known.forEach((name) => known.add(name));
    const otherSeals = new Set([...agreements.values()].map((one) => `seals/${one.said.id}/`));
    for (const one of newest.keys()) otherSeals.delete(`seals/${one}/`);
    for (const name of files.names) {
      const isFree = /^(agreements|releases|documents)\//.test(name) || [...otherSeals].some((one) => name.startsWith(one));
      need(known.has(name) || isFree, "E-PACK-FILES", `nobody knows what ${name} is`);
    }
    return {
      accepted: true,
      party: manifest.party,
      made_at: manifest.made_at,
      entries: said.size,
      root: said.root.toString("hex"),
      entries_witnessed: Math.max(0, ...witnessed.map((one) => one.entries)),
      releases: log.releases,
      witnessed: witnessed.map((one) => ({
        agreement: one.id, seals: one.seals, entries: one.entries,
        by: Object.fromEntries([...one.by].map(([who, time]) => [who, Number(time)]).sort()),
      })),
    };
  } finally {
    files.close();
  }
}

function main(words) {
  const named = [];
  const packs = [];
  for (let at = 0; at < words.length; at += 1) {
    if (words[at] === "--agreement") named.push(words[(at += 1)]);
    else packs.push(words[at]);
  }
  if (packs.length === 0 || named.length === 0 || named.includes(undefined)) {
    console.error("usage: node verifier.mjs --agreement HASH [--agreement HASH …] PACK…");
    return 2;
  }
  let refused = 0;
  for (const pack of packs) {
    let line;
    try {
      line = checkPack(pack, named);
    } catch (error) {
      refused += 1;
      line = { accepted: false, code: error.code ?? "E-INTERNAL", message: error.message };
    }
    console.log(JSON.stringify({ pack, ...line }));
  }
  return refused > 0 ? 1 : 0;
}

process.exitCode = main(process.argv.slice(2));
