// Sends a batch over gRPC from the proto files, twice, and once with an unknown key.
import grpc from '@grpc/grpc-js'
import loader from '@grpc/proto-loader'

const { address, key, marker, protos } = JSON.parse(process.argv[2])
const definition = loader.loadSync('onefold/ingest/v1/ingest_service.proto', {
  includeDirs: [protos],
  keepCase: true,
  longs: Number,
  enums: String,
})
const { IngestService } = grpc.loadPackageDefinition(definition).onefold.ingest.v1
const client = new IngestService(address, grpc.credentials.createInsecure())

const ingest = (events, bearer) =>
  new Promise((resolve) => {
    const metadata = new grpc.Metadata()
    metadata.set('authorization', `Bearer ${bearer}`)
    client.IngestEvents({ events }, metadata, (error, response) =>
      resolve(error ? { code: error.code, details: error.details } : response),
    )
  })

const event = (name) => ({
  type: 'EVENT_TYPE_TRACK',
  name,
  message_id: `${marker}-${name}`,
  identifiers: [{ namespace: 'user_id', value: `user-${marker}` }],
  properties: Buffer.from(JSON.stringify({ marker })),
})
const events = [event('one'), event('two'), { ...event('three'), identifiers: [] }]
console.log(
  JSON.stringify({
    first: await ingest(events, key),
    again: await ingest(events, key),
    unknown_key: await ingest(events, 'nonsense'),
  }),
)
client.close()
