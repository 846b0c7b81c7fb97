"""puremux beside what others wrote: agents, exporters, proxies, Prometheus.  `make peers` builds them, once."""
