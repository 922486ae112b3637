//! Nodes beside nodes: stories of small networks in memory.
