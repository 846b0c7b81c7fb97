"""puremux: traces and metrics to an OpenCensus Agent over gRPC, without grpcio."""
