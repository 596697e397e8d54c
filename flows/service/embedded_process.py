"""The process of the embedded server: `python -m flows.service.embedded_process --port PORT`.

Prefect's own way, `python -m uvicorn`, starts the same application. This module only spares Python
the search for unused objects while Prefect is imported: it creates a million objects, nearly all
of which live as long as the process, and the search takes a fifth of the start.
"""

import argparse
import gc

from flows.service.environment import LOOPBACK_HOSTS

HOST = LOOPBACK_HOSTS[1]


def main() -> None:
    """Serve the API of Prefect on the loopback interface until a signal ends the process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    port = parser.parse_args().port
    gc.disable()
    import uvicorn
    from prefect.server.api.server import create_app

    gc.freeze()  # `create_app` searches once
    app = create_app()
    gc.freeze()
    gc.enable()
    uvicorn.run(app, host=HOST, port=port, log_level="error", lifespan="on")


if __name__ == "__main__":
    main()
