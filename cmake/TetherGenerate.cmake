# tether_generate is defined together with the generator.
