"""BitTorrent engines as child processes behind one interface, for interop, benchmarks and crash tests.

It owns how each engine is installed, started, told whom to dial, asked and ended. It owns no test and no measurement.
"""
