//! One swarm: wires its rooms, its peers in join order, its states.
