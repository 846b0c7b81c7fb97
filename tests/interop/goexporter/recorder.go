package main

import (
	"log"
	"strings"
	"sync"
	"time"

	"go.opencensus.io/stats/view"
	"go.opencensus.io/trace"
)

const patience = 10 * time.Second

// recorder keeps what the exporter beside it is given, in a form for JSON: ids as hex, times as nanoseconds.
type recorder struct {
	mu    sync.Mutex
	spans []map[string]any
	views map[string]map[string]any
	more  chan struct{}
}

func newRecorder() *recorder {
	return &recorder{views: map[string]map[string]any{}, more: make(chan struct{}, 1)}
}

func (r *recorder) recorded() any {
	r.mu.Lock()
	defer r.mu.Unlock()
	return map[string]any{"spans": r.spans, "views": r.views}
}

// waitForViews returns when each of so many views was reported with all its measurements in it.
func (r *recorder) waitForViews(many int) {
	giveUp := time.After(patience)
	for {
		r.mu.Lock()
		have := len(r.views)
		r.mu.Unlock()
		if have == many {
			return
		}
		select {
		case <-r.more:
		case <-giveUp:
			log.Fatalf("goexporter: %d of %d views reported within %v", have, many, patience)
		}
	}
}

func (r *recorder) ExportView(data *view.Data) {
	if len(data.Rows) == 0 {
		return
	}
	r.mu.Lock()
	r.views[data.View.Name] = map[string]any{
		"description": data.View.Description,
		"unit":        data.View.Measure.Unit(),
		"rows":        rows(data.Rows),
	}
	r.mu.Unlock()
	select {
	case r.more <- struct{}{}:
	default:
	}
}

func rows(given []*view.Row) (told []map[string]any) {
	for _, row := range given {
		tags := map[string]string{}
		for _, tag := range row.Tags {
			tags[tag.Key.Name()] = tag.Value
		}
		told = append(told, map[string]any{"tags": tags, "data": aggregated(row.Data)})
	}
	return told
}

func aggregated(data view.AggregationData) any {
	switch data := data.(type) {
	case *view.CountData:
		return data.Value
	case *view.SumData:
		return data.Value
	case *view.LastValueData:
		return data.Value
	case *view.DistributionData:
		return map[string]any{"count": data.Count, "sum": data.Sum(), "bucket_counts": data.CountPerBucket,
			"sum_of_squared_deviation": data.SumOfSquaredDev}
	default:
		log.Fatalf("goexporter: a view of unknown kind, %T", data)
		return nil
	}
}

func (r *recorder) ExportSpan(span *trace.SpanData) {
	if strings.HasPrefix(span.Name, "opencensus.proto.") {
		return // of the exporter's own calls to the agent, whenever these end
	}
	told := map[string]any{
		"trace_id":       span.TraceID.String(),
		"span_id":        span.SpanID.String(),
		"parent_span_id": "",
		"name":           span.Name,
		"kind":           span.SpanKind,
		"start":          span.StartTime.UnixNano(),
		"end":            span.EndTime.UnixNano(),
		"attributes":     span.Attributes,
		"status":         map[string]any{"code": span.Code, "message": span.Message},
		"annotations":    annotations(span.Annotations),
		"message_events": messageEvents(span.MessageEvents),
		"links":          links(span.Links),
	}
	if span.ParentSpanID != (trace.SpanID{}) {
		told["parent_span_id"] = span.ParentSpanID.String()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.spans = append(r.spans, told)
}

func annotations(given []trace.Annotation) []map[string]any {
	told := []map[string]any{}
	for _, a := range given {
		told = append(told, map[string]any{"time": a.Time.UnixNano(), "description": a.Message, "attributes": a.Attributes})
	}
	return told
}

func messageEvents(given []trace.MessageEvent) []map[string]any {
	told := []map[string]any{}
	for _, e := range given {
		told = append(told, map[string]any{"time": e.Time.UnixNano(), "type": e.EventType, "id": e.MessageID,
			"uncompressed_size": e.UncompressedByteSize, "compressed_size": e.CompressedByteSize})
	}
	return told
}

func links(given []trace.Link) []map[string]any {
	told := []map[string]any{}
	for _, l := range given {
		told = append(told, map[string]any{"trace_id": l.TraceID.String(), "span_id": l.SpanID.String(),
			"type": l.Type, "attributes": l.Attributes})
	}
	return told
}
