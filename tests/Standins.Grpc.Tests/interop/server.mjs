// Serves the probe on a free loopback port, prints the port, and stops when its standard input closes.
import { Probe, everyByte, failure, grpc } from './probe.mjs';

const { status } = grpc;
let cancellations = 0;
const waitingForCancellation = [];

function countCancellation() {
  cancellations++;
  for (const check of waitingForCancellation.splice(0)) check();
}

function metadataOf(entries) {
  const metadata = new grpc.Metadata();
  for (const [key, value] of Object.entries(entries)) metadata.set(key, value);
  return metadata;
}

const refusal = () => ({
  code: status.FAILED_PRECONDITION,
  details: failure,
  metadata: metadataOf({ reason: 'because', 'grpc-status-details-bin': everyByte }),
});

const unary = {
  fail: (call, answer) => answer(refusal()),
  wait: (call) => call.on('cancelled', countCancellation),
  'await-cancelled': (call, answer) => {
    const check = () => (cancellations >= call.request.number ? answer(null, { number: cancellations }) : waitingForCancellation.push(check));
    check();
  },
  metadata: (call, answer) => {
    call.sendMetadata(metadataOf({ 'plain-back': call.metadata.get('plain')[0], 'proof-back-bin': call.metadata.get('proof-bin')[0] }));
    answer(null, {}, metadataOf({ cost: '7', 'receipt-bin': everyByte }));
  },
  big: (call, answer) => answer(null, { data: Buffer.alloc(call.request.number, 7) }),
  deadline: (call, answer) => answer(null, { number: Math.round(new Date(call.getDeadline()).getTime() - Date.now()) }),
};

const server = new grpc.Server();
server.addService(Probe.service, {
  Unary(call, answer) {
    const behave = unary[call.request.text];
    if (behave) behave(call, answer);
    else answer(null, { text: call.request.text, data: call.request.data, number: call.request.number + 1 });
  },
  Collect(call, answer) {
    let sum = 0;
    call.on('data', (ask) => {
      if (ask.text === 'fail') answer(refusal());
      else sum += ask.number;
    });
    call.on('end', () => answer(null, { number: sum }, metadataOf({ cost: '7' })));
    call.on('cancelled', countCancellation);
  },
  Spread(call) {
    for (let number = 0; number < call.request.number; number++) call.write({ number, data: call.request.data });
    if (call.request.text === 'fail') call.emit('error', refusal());
    else if (call.request.text === 'wait') call.on('cancelled', countCancellation);
    else call.end(metadataOf({ cost: '7' }));
  },
  Chat(call) {
    let over = false;
    call.on('data', (ask) => {
      if (over) return;
      over = ask.text === 'fail' || ask.text === 'end';
      if (ask.text === 'fail') call.emit('error', refusal());
      else if (ask.text === 'end') call.end();
      else call.write({ text: ask.text, data: ask.data, number: ask.number });
    });
    call.on('end', () => over || call.end(metadataOf({ cost: '7' })));
    call.on('cancelled', countCancellation);
  },
});

server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, port) => {
  if (error) throw error;
  console.log(port);
});
process.stdin.resume();
process.stdin.on('end', () => process.exit(0));
