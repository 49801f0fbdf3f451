// The OTLP receiver of the OpenTelemetry Collector, with a file in the place of a pipeline: each
// request that it took is a line of OTLP in JSON.
package main

import (
	"context"
	"fmt"
	"os"

	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/receiver/otlpreceiver"
	"go.opentelemetry.io/collector/receiver/receivertest"
)

func main() {
	file, err := os.OpenFile(os.Args[2], os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	check(err)
	sink, err := consumer.NewMetrics(func(_ context.Context, metrics pmetric.Metrics) error {
		line, err := (&pmetric.JSONMarshaler{}).MarshalMetrics(metrics)
		if err == nil {
			_, err = file.Write(append(line, '\n'))
		}
		return err
	})
	check(err)
	factory := otlpreceiver.NewFactory()
	config := factory.CreateDefaultConfig().(*otlpreceiver.Config)
	config.GRPC = nil
	config.HTTP.Endpoint = os.Args[1]
	ctx := context.Background()
	receiver, err := factory.CreateMetrics(ctx, receivertest.NewNopSettings(), config, sink)
	check(err)
	check(receiver.Start(ctx, componenttest.NewNopHost()))
	fmt.Println("ready")
	select {}
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
