//! Splits the datagrams of a process among the machines that speak UDP.
