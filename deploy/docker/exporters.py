"""Point Prometheus at the exporters of the profile `exporters`, after `setup` pointed it elsewhere."""

from setup import choose_targets

if __name__ == "__main__":
    choose_targets("compose-exporters")
