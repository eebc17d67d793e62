// What Artillery tells `lab` while it runs; `lab` puts this file beside the script it writes.
//
// Artillery's own report knows periods of ten seconds and whole milliseconds, and leaves out of its
// latencies the wait for a pooled connection, the body, and whatever failed. So every virtual user
// is noted here as it begins and as it ends, by the machine's monotonic clock. One file serves twice:
// the main thread loads it as a reporter (CUSTOM_REPORTERS) and every worker as the script's
// processor. It must not change what Artillery sends or when, but for the header fields that the
// built-in generator sends too.
//
// The notes are lines on the file descriptor LAB_RECORD_FD; without it nothing is written, and the
// script runs as any other:
//
//   hello PID NODE ARTILLERY           the main thread has begun
//   phase INDEX NS                     a phase has begun, by CLOCK_MONOTONIC
//   over INDEX NS                      and ended
//   b N NS                             request N was due: its virtual user was made
//   e N SENT ENDED STATUS BACKEND ERR  it ended, and when all of it had been written before; "-"
//                                      where there is none
//   l NS BUSY LATE                     a worker's event loop since the line before: the share of time
//                                      in which it was busy, and the longest it was late, ns
//   total NAME VALUE                   a counter of Artillery's own, at the end
//   session P50 P99                    its own figures of how long its users took, ms
//   bye                                all has been told
'use strict';

const { subscribe } = require('node:diagnostics_channel');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { monitorEventLoopDelay, performance } = require('node:perf_hooks');
const { isMainThread, threadId } = require('node:worker_threads');

// A write of up to so many bytes to a pipe is never mixed with another thread's (POSIX: PIPE_BUF).
const WHOLE = 4096;
// How long a note may wait for company: a write for each would cost more than the request.
const FLUSH_MS = 20;
// How often an event loop is looked at, and how finely.
const LOOK_MS = 500;
const LOOP_RESOLUTION_MS = 10;

const record = process.env.LAB_RECORD_FD ? Number(process.env.LAB_RECORD_FD) : undefined;
const { lab } = JSON.parse(fs.readFileSync(path.join(__dirname, 'artillery.json'), 'utf8')).config;

let waiting = '';

function note(line) {
  if (record === undefined) return;
  if (waiting.length + line.length + 1 > WHOLE) flush();
  waiting += `${line}\n`;
}

function flush() {
  if (waiting === '') return;
  const bytes = Buffer.from(waiting);
  waiting = '';
  try {
    fs.writeSync(record, bytes);
  } catch {
    // Nobody reads any more: lab is gone, and its keeper is about to end this process.
  }
}

const now = () => process.hrtime.bigint();

// ---- the main thread --------------------------------------------------------------------------

module.exports = function createReporter(events) {
  // Artillery starts a worker for each core but one, and all of them tick together: on a large
  // machine sixty requests would arrive at once. So it is shown as many cores as the load needs.
  const cores = os.cpus();
  os.cpus = () => cores.slice(0, lab.workers + 1);

  note(`hello ${process.pid} ${process.versions.node} ${global.artillery?.version ?? '-'}`);
  flush();
  const tell = (what) => (phase) => {
    note(`${what} ${phase.index} ${now()}`);
    flush();
  };
  events.on('phaseStarted', tell('phase'));
  events.on('phaseCompleted', tell('over'));
  events.on('done', (report) => {
    for (const [name, value] of Object.entries(report.counters)) {
      if (/^(vusers\.|errors\.|http\.)/.test(name)) note(`total ${name.replace(/\s/g, '_')} ${value}`);
    }
    const session = report.summaries?.['vusers.session_length'];
    if (session) note(`session ${session.p50} ${session.p99}`);
    note('bye');
    flush();
  });
  return {};
};

// ---- the workers ------------------------------------------------------------------------------

// Consecutive threads, so that the numbers of all workers together have neither gaps nor doubles.
const place = (threadId + lab.workers - 1) % lab.workers;
let made = 0;
// Of each request in its order its luck, 64 bits; and, where there are keys, which key, 32 bits.
const requests = isMainThread ? undefined : fs.readFileSync(path.join(__dirname, 'artillery.requests'));
const stride = lab.key_field ? 12 : 8;

if (!isMainThread && record !== undefined) {
  setInterval(flush, FLUSH_MS).unref();
  const late = monitorEventLoopDelay({ resolution: LOOP_RESOLUTION_MS });
  late.enable();
  let before = performance.eventLoopUtilization();
  setInterval(() => {
    const present = performance.eventLoopUtilization();
    const { utilization } = performance.eventLoopUtilization(present, before);
    before = present;
    const longest = Math.max(0, late.max - LOOP_RESOLUTION_MS * 1e6);
    late.reset();
    note(`l ${now()} ${utilization.toFixed(4)} ${Math.round(longest)}`);
  }, LOOK_MS).unref();
  process.on('exit', flush);
}

// The virtual users whose requests are on their way, by number.
const open = new Map();
// When each connection was last read from, before anybody works on what was read. With one request at a
// time on it, that is the answer's last byte, once the answer has ended.
const reads = new WeakMap();
function watch(socket) {
  if (reads.has(socket)) return;
  reads.set(socket, undefined);
  // Before Node's own listener, and unlike on() it does not set the stream flowing.
  socket.prependListener('data', () => { reads.set(socket, now()); });
}

// Node tells of each request that it sends. Artillery's own timings are whole milliseconds, and have in
// them the work with which it prepares a request and takes its answer apart: a millisecond or two each.
subscribe('http.client.request.start', ({ request }) => {
  const vu = open.get(Number(request.getHeader('x-lab-request')));
  if (!vu) return;
  request.once('finish', () => { vu.sent = now(); });
  if (request.socket) watch(request.socket);
  else request.once('socket', watch);
  request.once('response', (response) => {
    const { socket } = response;
    response.once('end', () => { vu.ended = reads.get(socket); });
  });
});

// beforeScenario: the virtual user was made this moment.
module.exports.begin = function begin(context, _events, next) {
  const number = made * lab.workers + place;
  made += 1;
  context.lab = { number };
  open.set(number, context.lab);
  note(`b ${number} ${now()}`);
  next();
};

// beforeRequest
module.exports.prepare = function prepare(request, context, _events, next) {
  const { number } = context.lab;
  const headers = { 'x-lab-request': String(number) };
  const at = number * stride;
  if (at + stride <= requests.length) {
    headers['x-lab-luck'] = String(requests.readBigUInt64LE(at));
    if (lab.key_field) headers[lab.key_field] = `key-${requests.readUInt32LE(at + 8)}`;
  }
  request.headers = { ...request.headers, ...headers };
  if (lab.targets.length > 1) {
    request.url = `${lab.targets[number % lab.targets.length]}${request.url.slice(lab.targets[0].length)}`;
  }
  next();
};

// afterResponse: the last byte of the body is there.
module.exports.answered = function answered(_request, response, context, _events, next) {
  const backend = response.headers['x-lab-backend'] ?? '-';
  end(context.lab, context.lab.ended ?? now(), response.statusCode, backend, '-');
  next();
};

// onError: connecting, the answer's head or its body went wrong.
module.exports.failed = function failed(error, _request, context, _events, next) {
  const waited = error.event || (error.syscall === 'connect' ? 'connect' : '');
  const during = waited ? `:${waited}` : '';
  const code = `${error.code || error.name || 'error'}${during}`.replace(/\s/g, '_');
  end(context.lab, now(), '-', '-', code);
  next();
};

// An error of a body is told twice, as an event and as a rejection.
function end({ number }, ended, status, backend, error) {
  const vu = open.get(number);
  if (!vu) return;
  open.delete(number);
  note(`e ${number} ${vu.sent ?? '-'} ${ended} ${status} ${backend} ${error}`);
}
