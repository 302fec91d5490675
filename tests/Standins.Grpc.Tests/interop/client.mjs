// Calls a probe server at the address given and prints one line of JSON per scenario: {"name", "error"}.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Probe, everyByte, failure, grpc } from './probe.mjs';

const client = new Probe(process.argv[2], grpc.credentials.createInsecure(), { 'grpc.max_receive_message_length': 32 * 1024 * 1024 });
const { status } = grpc;

function unary(ask, { metadata = new grpc.Metadata(), options = {} } = {}) {
  return new Promise((resolve) => {
    const seen = {};
    const call = client.Unary(ask, metadata, options, (error, answer) => Object.assign(seen, { error, answer }));
    call.on('metadata', (headers) => (seen.headers = headers));
    call.on('status', (end) => resolve({ ...seen, status: end }));
    seen.call = call;
  });
}

/** Everything a stream brings, until it ends. */
function read(call) {
  return new Promise((resolve) => {
    const answers = [];
    call.on('data', (answer) => answers.push(answer));
    call.on('error', () => {});
    call.on('status', (end) => resolve({ answers, status: end }));
  });
}

function assertRefused(end) {
  assert.equal(end.code, status.FAILED_PRECONDITION);
  assert.equal(end.details, failure);
  assert.deepEqual(end.metadata.get('reason'), ['because']);
  assert.deepEqual(end.metadata.get('grpc-status-details-bin'), [everyByte]);
}

let cancellations = 0;

async function assertServerSawCancellation() {
  const { answer } = await unary({ text: 'await-cancelled', number: ++cancellations });
  assert.ok(answer.number >= cancellations);
}

const scenarios = {
  async unary() {
    const { answer, status: end } = await unary({ text: 'hello', data: everyByte, number: 41 });
    assert.deepEqual(answer, { text: 'hello', data: everyByte, number: 42 });
    assert.equal(end.code, status.OK);
  },

  async 'empty message'() {
    assert.deepEqual((await unary({})).answer, { text: '', data: Buffer.alloc(0), number: 1 });
  },

  async 'client stream'() {
    const result = await new Promise((resolve) => {
      const call = client.Collect((error, answer) => resolve({ error, answer }));
      for (let number = 1; number <= 1000; number++) call.write({ number });
      call.end();
    });
    assert.equal(result.error, null);
    assert.equal(result.answer.number, 500500);
  },

  async 'client stream refused in the middle'() {
    const end = await new Promise((resolve) => {
      const call = client.Collect(() => {});
      call.on('status', resolve);
      call.write({ number: 1 });
      call.write({ text: 'fail' });
    });
    assertRefused(end);
  },

  async 'server stream'() {
    const { answers, status: end } = await read(client.Spread({ number: 1000, data: everyByte }));
    assert.deepEqual(answers.map((answer) => answer.number), [...Array(1000).keys()]);
    assert.ok(answers.every((answer) => answer.data.equals(everyByte)));
    assert.equal(end.code, status.OK);
    assert.deepEqual(end.metadata.get('cost'), ['7']);
  },

  async 'server stream refused after messages'() {
    const { answers, status: end } = await read(client.Spread({ number: 3, text: 'fail' }));
    assert.equal(answers.length, 3);
    assertRefused(end);
  },

  async 'duplex stream'() {
    const call = client.Chat();
    for (let number = 0; number < 100; number++) {
      call.write({ number, text: `message ${number}` });
      const [answer] = await once(call, 'data');
      assert.deepEqual([answer.number, answer.text], [number, `message ${number}`]);
    }
    const reading = read(call);
    call.end();
    const { answers, status: end } = await reading;
    assert.equal(answers.length, 0);
    assert.equal(end.code, status.OK);
    assert.deepEqual(end.metadata.get('cost'), ['7']);
  },

  async 'duplex stream pipelined'() {
    const call = client.Chat();
    const reading = read(call);
    for (let number = 0; number < 5000; number++) call.write({ number });
    call.end();
    assert.deepEqual((await reading).answers.map((answer) => answer.number), [...Array(5000).keys()]);
  },

  async 'duplex stream ended by the server'() {
    const call = client.Chat();
    const reading = read(call);
    call.write({ number: 1 });
    call.write({ text: 'end' });
    const { answers, status: end } = await reading;
    assert.equal(answers.length, 1);
    assert.equal(end.code, status.OK);
  },

  async 'duplex stream refused by the server'() {
    const call = client.Chat();
    const reading = read(call);
    call.write({ text: 'fail' });
    assertRefused((await reading).status);
  },

  async 'status details and message'() {
    assertRefused((await unary({ text: 'fail' })).status);
  },

  async metadata() {
    const metadata = new grpc.Metadata();
    metadata.set('plain', 'some text');
    metadata.set('proof-bin', everyByte);
    const { headers, status: end } = await unary({ text: 'metadata' }, { metadata });
    assert.deepEqual(headers.get('plain-back'), ['some text']);
    assert.deepEqual(headers.get('proof-back-bin'), [everyByte]);
    assert.equal(end.code, status.OK);
    assert.deepEqual(end.metadata.get('cost'), ['7']);
    assert.deepEqual(end.metadata.get('receipt-bin'), [everyByte]);
  },

  async 'deadline known to the server'() {
    const { answer } = await unary({ text: 'deadline' }, { options: { deadline: Date.now() + 600_000 } });
    assert.ok(answer.number > 500_000 && answer.number <= 600_000, `${answer.number} ms`);
  },

  async 'deadline exceeded'() {
    const { status: end } = await unary({ text: 'wait' }, { options: { deadline: Date.now() + 2000 } });
    assert.equal(end.code, status.DEADLINE_EXCEEDED);
    await assertServerSawCancellation();
  },

  async 'unary cancelled'() {
    const end = await new Promise((resolve) => {
      const call = client.Unary({ text: 'wait' }, () => {});
      call.on('status', resolve);
      setTimeout(() => call.cancel(), 1000);
    });
    assert.equal(end.code, status.CANCELLED);
    await assertServerSawCancellation();
  },

  async 'server stream cancelled'() {
    const call = client.Spread({ number: 1, text: 'wait' });
    const reading = read(call);
    await once(call, 'data');
    call.cancel();
    assert.equal((await reading).status.code, status.CANCELLED);
    await assertServerSawCancellation();
  },

  async 'duplex stream cancelled'() {
    const call = client.Chat();
    // The server is to wait for the cancellation: node may half-close the stream before it resets it, which alone is a good end.
    call.write({ text: 'wait' });
    await once(call, 'data');
    const reading = read(call);
    call.cancel();
    assert.equal((await reading).status.code, status.CANCELLED);
    await assertServerSawCancellation();
  },

  async 'big answer'() {
    const { answer } = await unary({ text: 'big', number: 20_000_000 });
    assert.ok(answer.data.equals(Buffer.alloc(20_000_000, 7)));
  },

  async 'request beyond the limit'() {
    assert.equal((await unary({ data: Buffer.alloc(5_000_000) })).status.code, status.RESOURCE_EXHAUSTED);
  },

  async 'compressed request'() {
    const gzip = new Probe(process.argv[2], grpc.credentials.createInsecure(), { 'grpc.default_compression_algorithm': grpc.compressionAlgorithms.gzip });
    const end = await new Promise((resolve) => gzip.Unary({ text: 'squeezed' }, () => {}).on('status', resolve));
    gzip.close();
    assert.ok([status.OK, status.UNIMPLEMENTED].includes(end.code), `${end.code} ${end.details}`);
  },

  async 'unknown method'() {
    const end = await new Promise((resolve) => {
      client
        .makeUnaryRequest('/federation.probe.v1.Probe/Nothing', (value) => value, (value) => value, Buffer.alloc(0), () => {})
        .on('status', resolve);
    });
    assert.equal(end.code, status.UNIMPLEMENTED);
  },

  async 'a hundred streams at once'() {
    await Promise.all(
      Array.from({ length: 100 }, async (_, stream) => {
        const call = client.Chat();
        const reading = read(call);
        for (let number = 0; number < 20; number++) call.write({ number, text: `stream ${stream}` });
        call.end();
        const { answers } = await reading;
        assert.deepEqual(answers.map((answer) => [answer.number, answer.text]), Array.from({ length: 20 }, (_, number) => [number, `stream ${stream}`]));
      }),
    );
  },
};

for (const [name, run] of Object.entries(scenarios)) {
  let error = null;
  const patience = setTimeout(() => {
    console.log(JSON.stringify({ name, error: 'did not end within a minute' }));
    process.exit(1);
  }, 60_000);
  try {
    await run();
  } catch (thrown) {
    error = thrown.stack;
  }
  clearTimeout(patience);
  console.log(JSON.stringify({ name, error }));
}
client.close();
