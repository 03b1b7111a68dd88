# What bench.proto's Echo.Unary is, for Cap'n Proto. It has neither deadlines nor metadata: both travel as parameters.
@0xd1b7c9f0a6e34825;

interface Echo {
  unary @0 (data :Data, timeoutNs :Int64, requestId :Text) -> (data :Data);
}
