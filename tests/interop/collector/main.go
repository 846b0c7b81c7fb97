// A real agent for the tests: an OpenTelemetry Collector with the OpenCensus receiver and an exporter that writes files.
//
// Usage: otelcol-oc --config FILE
//
// The receiver left the Collector in v0.134.0, so all versions in go.mod stay with v0.133.0; build with -mod=readonly
// and do not tidy: it would choose versions that don't fit together.
package main

import (
	"log"

	"github.com/open-telemetry/opentelemetry-collector-contrib/exporter/prometheusexporter"
	"github.com/open-telemetry/opentelemetry-collector-contrib/receiver/opencensusreceiver"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/provider/fileprovider"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/debugexporter"
	"go.opentelemetry.io/collector/extension"
	"go.opentelemetry.io/collector/extension/zpagesextension"
	"go.opentelemetry.io/collector/otelcol"
	"go.opentelemetry.io/collector/processor"
	"go.opentelemetry.io/collector/processor/batchprocessor"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/otlpreceiver"
)

func main() {
	command := otelcol.NewCommand(otelcol.CollectorSettings{
		BuildInfo: component.BuildInfo{
			Command:     "otelcol-oc",
			Description: "Collector with the OpenCensus receiver",
			Version:     "0.133.0",
		},
		Factories: factories,
		ConfigProviderSettings: otelcol.ConfigProviderSettings{
			ResolverSettings: confmap.ResolverSettings{
				DefaultScheme:     "file",
				ProviderFactories: []confmap.ProviderFactory{fileprovider.NewFactory()},
			},
		},
	})
	if err := command.Execute(); err != nil {
		log.Fatal(err)
	}
}

// factories names the parts that a configuration may use.
func factories() (parts otelcol.Factories, err error) {
	if parts.Receivers, err = otelcol.MakeFactoryMap[receiver.Factory](
		opencensusreceiver.NewFactory(), otlpreceiver.NewFactory()); err != nil {
		return
	}
	if parts.Exporters, err = otelcol.MakeFactoryMap[exporter.Factory](
		debugexporter.NewFactory(), newLinesFactory(), prometheusexporter.NewFactory()); err != nil {
		return
	}
	if parts.Processors, err = otelcol.MakeFactoryMap[processor.Factory](batchprocessor.NewFactory()); err != nil {
		return
	}
	parts.Extensions, err = otelcol.MakeFactoryMap[extension.Factory](zpagesextension.NewFactory())
	return
}
