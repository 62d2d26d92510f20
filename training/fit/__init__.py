"""How parameters are fitted: optimiser, training loop, saved runs; knows no pictures and no words."""
