// The probe service as grpc-js sees it, and the behaviour both servers of the interop tests have (see InteropProbe.cs).
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import grpc from '@grpc/grpc-js';
import loader from '@grpc/proto-loader';

const proto = path.join(path.dirname(fileURLToPath(import.meta.url)), '..', 'probe.proto');
const definition = loader.loadSync(proto, { keepCase: true, defaults: true });

export const Probe = grpc.loadPackageDefinition(definition).federation.probe.v1.Probe;
export const everyByte = Buffer.from(Array.from({ length: 256 }, (_, value) => value));
export const failure = 'Müller: 50 % 🐈';
export { grpc };
