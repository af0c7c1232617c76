"""Point Prometheus at the exporters of the profile `exporters`, once they run."""

from setup import lay_prometheus

if __name__ == "__main__":
    lay_prometheus(with_exporters=True)
