"""Parts that tests share: data, processes, clusters, servers, faults."""
