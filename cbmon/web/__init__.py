"""The daemon's HTTP face: page, API and metrics, over TCP and over a local control socket."""
