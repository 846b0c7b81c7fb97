package main

import (
	"context"
	"os"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

// linesConfig is what a configuration says under "lines".
type linesConfig struct {
	// Path of the file that is appended to.  Empty: everything is dropped, which is the cheapest sink there is.
	Path string `mapstructure:"path"`
}

// lines appends each request to a file as one line of OTLP-JSON.  A line is one unbuffered write to a file opened
// with O_APPEND: a killed Collector loses nothing that reached this point, and lines of several writers don't mix.
type lines struct {
	path string
	file *os.File
}

func newLinesFactory() exporter.Factory {
	return exporter.NewFactory(
		component.MustNewType("lines"),
		func() component.Config { return &linesConfig{} },
		exporter.WithTraces(func(_ context.Context, _ exporter.Settings, config component.Config) (exporter.Traces, error) {
			return &lines{path: config.(*linesConfig).Path}, nil
		}, component.StabilityLevelDevelopment),
		exporter.WithMetrics(func(_ context.Context, _ exporter.Settings, config component.Config) (exporter.Metrics, error) {
			return &lines{path: config.(*linesConfig).Path}, nil
		}, component.StabilityLevelDevelopment))
}

func (l *lines) Start(context.Context, component.Host) (err error) {
	if l.path != "" {
		l.file, err = os.OpenFile(l.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	}
	return err
}

func (l *lines) Shutdown(context.Context) error {
	if l.file == nil {
		return nil
	}
	return l.file.Close()
}

func (*lines) Capabilities() consumer.Capabilities { return consumer.Capabilities{} }

func (l *lines) ConsumeTraces(_ context.Context, traces ptrace.Traces) error {
	if l.file == nil {
		return nil
	}
	return l.write((&ptrace.JSONMarshaler{}).MarshalTraces(traces))
}

func (l *lines) ConsumeMetrics(_ context.Context, metrics pmetric.Metrics) error {
	if l.file == nil {
		return nil
	}
	return l.write((&pmetric.JSONMarshaler{}).MarshalMetrics(metrics))
}

func (l *lines) write(line []byte, err error) error {
	if err == nil {
		_, err = l.file.Write(append(line, '\n'))
	}
	return err
}
