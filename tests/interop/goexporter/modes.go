package main

import (
	"context"
	"fmt"
	"log"
	"syscall"
	"time"

	"contrib.go.opencensus.io/exporter/ocagent"
	"go.opencensus.io/stats"
	"go.opencensus.io/stats/view"
	"go.opencensus.io/tag"
	"go.opencensus.io/trace"
)

const rounds = 5

// demo makes spans with all that a span can carry and measurements for a view of each aggregation.
func demo(ctx context.Context, _ *ocagent.Exporter) any {
	seen := newRecorder()
	trace.RegisterExporter(seen)
	view.RegisterExporter(seen)
	method := tag.MustNewKey("method")
	count := stats.Int64("m_int", "an int measure", stats.UnitDimensionless)
	latency := stats.Float64("m_float", "a float measure", stats.UnitMilliseconds)
	views := viewsOf(method, count, latency)
	if err := view.Register(views...); err != nil {
		log.Fatalf("goexporter: %v", err)
	}
	ctx, err := tag.New(ctx, tag.Insert(method, "repl"))
	if err != nil {
		log.Fatalf("goexporter: %v", err)
	}
	for i := 0; i < rounds; i++ {
		parent, span := trace.StartSpan(ctx, "parent", trace.WithSpanKind(trace.SpanKindServer))
		oneSpan(parent, i, span.SpanContext())
		span.End()
		stats.Record(ctx, count.M(int64(i)), latency.M(float64(i)*2.5))
	}
	view.SetReportingPeriod(100 * time.Millisecond)
	seen.waitForViews(len(views))
	return seen.recorded()
}

func viewsOf(method tag.Key, count *stats.Int64Measure, latency *stats.Float64Measure) []*view.View {
	keys := []tag.Key{method}
	return []*view.View{
		{Name: "v/count", Description: "a count", Measure: count, Aggregation: view.Count(), TagKeys: keys},
		{Name: "v/sum_int", Description: "a sum", Measure: count, Aggregation: view.Sum(), TagKeys: keys},
		{Name: "v/sum_float", Description: "a sum", Measure: latency, Aggregation: view.Sum(), TagKeys: keys},
		{Name: "v/last_int", Description: "a value", Measure: count, Aggregation: view.LastValue(), TagKeys: keys},
		{Name: "v/last_float", Description: "a value", Measure: latency, Aggregation: view.LastValue(), TagKeys: keys},
		{Name: "v/distribution", Description: "a distribution", Measure: latency, TagKeys: keys,
			Aggregation: view.Distribution(1, 5, 10)},
	}
}

// oneSpan is the span of the benchmarks, plus the links if there is something to link to.
func oneSpan(ctx context.Context, i int, links ...trace.SpanContext) {
	_, span := trace.StartSpan(ctx, "bench-span", trace.WithSpanKind(trace.SpanKindClient))
	span.AddAttributes(trace.StringAttribute("http.method", "GET"), trace.StringAttribute("http.path", "/a/b/c"),
		trace.StringAttribute("http.host", "example.com"), trace.Int64Attribute("http.status_code", 200),
		trace.Int64Attribute("i", int64(i)), trace.BoolAttribute("cached", i&1 == 0))
	span.Annotate([]trace.Attribute{trace.StringAttribute("k", "v")}, "an annotation")
	span.AddMessageReceiveEvent(int64(i), 120, 100)
	for _, link := range links {
		span.AddLink(trace.Link{TraceID: link.TraceID, SpanID: link.SpanID, Type: trace.LinkTypeParent,
			Attributes: map[string]any{"why": "demo"}})
	}
	span.SetStatus(trace.Status{Code: trace.StatusCodeOK, Message: "OK"})
	span.End()
}

// steady ends spans named r000000, r000001, ... at a steady pace.  A sampler that the agent pushed may leave some out.
func steady(ctx context.Context, exporter *ocagent.Exporter) any {
	begin := time.Now()
	started, sampled := 0, 0
	for next := begin; time.Since(begin) < *duration; started++ {
		_, span := trace.StartSpan(ctx, fmt.Sprintf("r%06d", started))
		if span.SpanContext().IsSampled() {
			sampled++
		}
		span.End()
		next = next.Add(*interval)
		time.Sleep(time.Until(next))
	}
	exporter.Flush()
	return map[string]any{"started": started, "ended": sampled, "seconds": time.Since(begin).Seconds()}
}

// bench measures this process from before the first span until all were handed to gRPC.
func bench(ctx context.Context, exporter *ocagent.Exporter) any {
	begin, before := time.Now(), usage()
	for i := 0; i < *spans; i++ {
		oneSpan(ctx, i)
	}
	exporter.Flush()
	seconds, after := time.Since(begin).Seconds(), usage()
	cpu := cpuSeconds(after) - cpuSeconds(before)
	return map[string]any{
		"spans":            *spans,
		"seconds":          seconds,
		"cpu_us_per_span":  cpu / float64(*spans) * 1e6,
		"spans_per_second": float64(*spans) / seconds,
		"peak_memory_mib":  float64(after.Maxrss) / 1024,
	}
}

func usage() (used syscall.Rusage) {
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		log.Fatalf("goexporter: %v", err)
	}
	return used
}

func cpuSeconds(used syscall.Rusage) float64 {
	return float64(used.Utime.Nano()+used.Stime.Nano()) / 1e9
}
