"""Train the same small sigmoid network from thousands of seeds and see how often it converges or collapses."""

__version__ = "0.1.0"
