// The peer that the documentation teaches: Go's OpenCensus exporter for an agent, as a program for tests and benchmarks.
//
//	goexporter [flags] demo     spans of every feature, and a view of each aggregation
//	goexporter [flags] steady   one span after each -interval, for -for
//	goexporter [flags] bench    -spans spans as fast as they go, and what they cost
//
// What it recorded it prints as one line of JSON.  Then it waits until its standard input is closed before it stops:
// the exporter has no way to say what arrived, but who started this program can look at the agent.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"io"
	"log"
	"os"
	"time"

	"contrib.go.opencensus.io/exporter/ocagent"
	"go.opencensus.io/stats/view"
	"go.opencensus.io/trace"
	"google.golang.org/grpc/credentials"
)

var (
	address      = flag.String("address", "127.0.0.1:55678", "`HOST:PORT` of the agent")
	service      = flag.String("service", "goexporter", "name of the service")
	reconnection = flag.Duration("reconnection", time.Second, "reconnection period")
	authority    = flag.String("ca", "", "`FILE` of the authority to trust; without it there is no TLS")
	compression  = flag.String("compression", "", "name of a gRPC compressor, such as gzip")
	duration     = flag.Duration("for", 20*time.Second, "steady: how long")
	interval     = flag.Duration("interval", 2*time.Millisecond, "steady: from one span to the next")
	spans        = flag.Int("spans", 200000, "bench: how many spans")
)

func main() {
	flag.Parse()
	modes := map[string]func(context.Context, *ocagent.Exporter) any{"demo": demo, "steady": steady, "bench": bench}
	mode, known := modes[flag.Arg(0)]
	if !known {
		log.Fatalf("goexporter: demo, steady or bench, not %q", flag.Arg(0))
	}
	exporter, err := ocagent.NewExporter(options()...)
	if err != nil {
		log.Fatalf("goexporter: %v", err)
	}
	trace.RegisterExporter(exporter)
	view.RegisterExporter(exporter)
	trace.ApplyConfig(trace.Config{DefaultSampler: trace.AlwaysSample()})
	if err := json.NewEncoder(os.Stdout).Encode(mode(context.Background(), exporter)); err != nil {
		log.Fatalf("goexporter: %v", err)
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
	if err := exporter.Stop(); err != nil {
		log.Fatalf("goexporter: %v", err)
	}
}

func options() []ocagent.ExporterOption {
	chosen := []ocagent.ExporterOption{
		ocagent.WithAddress(*address),
		ocagent.WithServiceName(*service),
		ocagent.WithReconnectionPeriod(*reconnection),
	}
	if *compression != "" {
		chosen = append(chosen, ocagent.UseCompressor(*compression))
	}
	if *authority == "" {
		return append(chosen, ocagent.WithInsecure())
	}
	trusted, err := credentials.NewClientTLSFromFile(*authority, "")
	if err != nil {
		log.Fatalf("goexporter: %v", err)
	}
	return append(chosen, ocagent.WithTLSCredentials(trusted))
}
