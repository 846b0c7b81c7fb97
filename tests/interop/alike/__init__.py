"""The same program on grpcio's channel and on ours, against grpcio's server: what it sees has to be alike."""
